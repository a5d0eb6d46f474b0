"""A whole deployment on loopback, of real processes, made to be hurt.

PostgreSQL, a Redis cluster of three masters with a replica each, and the members of a layout: the
four engines, two gateways and a feed of `CLUSTER`, or the two processes that each do all of `PAIR`.
All that a member is connected to, and the clients of those that have any, goes through fault
proxies of its own (`member.py`). Prices come from an upstream of the drills; the book is theirs.
"""

import asyncio
import random
import secrets
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import asyncpg

from service.api.auth import Role, issue_token
from service.storage.embedded import EmbeddedPostgres
from service.storage.errors import Unreachable
from service.verify.verification import verify
from tests.adversity.lease_log import keep_lease_log
from tests.adversity.member import Member, Servers
from tests.drills.book import POOR_ACCOUNTS, RICH_ACCOUNTS, instruments, store_book
from tests.drills.upstream import Upstream
from tests.redis_cluster import RunningCluster, running_cluster
from tests.support import end_postgres

CLUSTER = {
    **{f"engine-{number}": "engine" for number in range(1, 5)},
    **{f"gateway-{number}": "gateway" for number in range(1, 3)},
    "feed": "feed",
}
PAIR = {"all-1": "all", "all-2": "all"}
SHARDS = {"engine": 4, "all": 1}
ACCOUNTS = (*RICH_ACCOUNTS, *POOR_ACCOUNTS)
GROUPS = 2
QUOTES_PER_S = 70.0
TRADES_TIMEOUT_S = 120.0
POLL_S = 0.05
TOKEN_S = 4 * 3600.0
_AWAY = (
    OSError,
    Unreachable,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresConnectionError,
)

Found = TypeVar("Found")


class Deployment:
    """It runs from the beginning of the block that `deployed` makes to its end."""

    def __init__(
        self,
        postgres: EmbeddedPostgres,
        cluster: RunningCluster,
        upstream: Upstream,
        members: Mapping[str, Member],
        shards: int,
        lease_s: float,
        secret: str,
    ) -> None:
        self.postgres = postgres
        self.cluster = cluster
        self.upstream = upstream
        self.members = members
        self.shards = shards
        self.lease_s = lease_s
        self._secret = secret
        self._tokens: dict[tuple[int, ...], str] = {}

    @property
    def dsn(self) -> str:
        """The address of the database itself, past all proxies."""
        return self.postgres.dsn

    @property
    def gateways(self) -> list[Member]:
        """Those that clients talk to."""
        return [each for each in self.members.values() if each.has_clients]

    @property
    def traders(self) -> list[Member]:
        """Those that may trade shards."""
        return [each for each in self.members.values() if each.role in SHARDS]

    def token(self, *account_ids: int) -> str:
        """Return a trader's token for accounts, an administrator's for none."""
        token = self._tokens.get(account_ids)
        if token is None:
            first, *others = account_ids or (1,)
            role = Role.TRADER if account_ids else Role.ADMIN
            token = issue_token(self._secret, first, role, TOKEN_S, others=others)
            self._tokens[account_ids] = token
        return token

    def shard_of(self, account_id: int) -> int:
        return account_id % self.shards

    async def fetch(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Ask the database, however often it is restarted meanwhile."""

        async def ask() -> list[tuple[Any, ...]]:
            connection = await asyncpg.connect(self.dsn, timeout=10)
            try:
                return [tuple(row) for row in await connection.fetch(statement, *arguments)]
            finally:
                await connection.close(timeout=10)

        return await self.while_restarted(ask)

    async def verified(self) -> list[str]:
        """Return what `tapewatch verify` finds."""

        async def look() -> list[str]:
            return [str(fault) for fault in (await verify(self.dsn)).faults]

        return await self.while_restarted(look)

    async def while_restarted(self, do: Callable[[], Awaitable[Found]]) -> Found:
        """Do it again and again while the database is away. Raises what else goes wrong."""
        async with asyncio.timeout(TRADES_TIMEOUT_S):
            while True:
                try:
                    return await do()
                except _AWAY:
                    await asyncio.sleep(POLL_S)

    async def restart_postgres(self) -> None:
        """Have PostgreSQL end at once, as by a crash, and start again."""
        await end_postgres(self.postgres, signal.SIGQUIT)
        await self.postgres.start()

    async def leaders(self) -> dict[int, str]:
        """Return which member has taken which shard last, by the log of leases."""
        taken = await self.fetch(
            "SELECT DISTINCT ON (shard) shard, by FROM lease_log "
            "WHERE epoch > epoch_before ORDER BY shard, line DESC"
        )
        return dict(taken)

    async def traded(self, shards: set[int] | None = None, reason: str = "a probe") -> None:
        """Wait until each of these shards, or of all, has answered a command. Raises TimeoutError.

        Whatever the gateways say meanwhile, they are asked again, in turns. The command is a
        deposit that gives `reason`.
        """
        wanted = set(range(self.shards)) if shards is None else set(shards)
        async with asyncio.timeout(TRADES_TIMEOUT_S), aiohttp.ClientSession() as session:
            await asyncio.gather(*(self._traded(session, each, reason) for each in sorted(wanted)))

    async def _traded(self, session: aiohttp.ClientSession, shard: int, reason: str) -> None:
        account_id = next(each for each in ACCOUNTS if self.shard_of(each) == shard)
        headers = {
            "Authorization": f"Bearer {self.token()}",
            "Idempotency-Key": f"probe-{secrets.token_hex(8)}",
        }
        attempt = 0
        while True:
            gateway = self.gateways[attempt % len(self.gateways)]
            attempt += 1
            url = f"{gateway.address}/api/v1/admin/accounts/{account_id}/deposits"
            body = {"amount": "0.01", "reason": reason}
            try:
                async with session.post(
                    url, json=body, headers=headers, timeout=aiohttp.ClientTimeout(total=6)
                ) as response:
                    if response.status == 200:
                        return
                    assert response.status >= 500, await response.text()
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def deployed(
    folder: Path, layout: Mapping[str, str] = CLUSTER, *, lease_s: float, seed: int = 1
) -> AsyncIterator[Deployment]:
    """Run a deployment that trades all its shards when the block begins."""
    shards = next(SHARDS[role] for role in layout.values() if role in SHARDS)
    secret = secrets.token_hex(32)
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(
            EmbeddedPostgres(folder / "postgres", durable=False)
        )
        cluster = stack.enter_context(running_cluster(replicas=True))
        await store_book(postgres.dsn, time.time_ns(), GROUPS)
        await keep_lease_log(postgres.dsn)
        upstream = await stack.enter_async_context(
            Upstream(instruments(), random.Random(seed), QUOTES_PER_S)
        )
        servers = Servers(postgres.dsn, [each.port for each in cluster.servers], upstream.url)
        members: dict[str, Member] = {}
        for name, role in layout.items():
            member = Member(name, role, servers, folder, shards, lease_s, secret)
            members[name] = await stack.enter_async_context(member)
        deployment = Deployment(postgres, cluster, upstream, members, shards, lease_s, secret)
        await asyncio.gather(*(each.start() for each in members.values()))
        await deployment.traded()
        yield deployment
