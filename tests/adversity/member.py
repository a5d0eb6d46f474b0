"""A process of a deployment; all that it is connected to goes through fault proxies of its own.

A Redis cluster tells its clients where its nodes are: what it tells a member is rewritten, so that
the member finds the proxies there. A reply that comes in pieces may keep the node's own address,
and the member then goes past its proxy: what is done to that connection does not reach it.
"""

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlsplit, urlunsplit

from tests.drills.instance import Instance
from tests.faultproxy import LOOPBACK, FaultProxy

CLIENTS = frozenset({"all", "gateway"})
QUOTED = frozenset({"all", "feed"})
START_TIMEOUT_S = 120.0
AGAIN_S = 0.5
POLL_S = 0.05


class Servers(NamedTuple):
    """Where what all members share is: PostgreSQL, the nodes of the cluster, the upstream."""

    dsn: str
    redis_ports: Sequence[int]
    upstream: str


class Member:
    """One `tapewatch serve`.

    Attributes:
        links: its proxies by name: `postgres`, `redis-1` and so on, `upstream`, `clients`.
        started_again: how often it had ended before it answered.
    """

    def __init__(
        self,
        name: str,
        role: str,
        servers: Servers,
        folder: Path,
        shards: int,
        lease_s: float,
        secret: str,
    ) -> None:
        self.name = name
        self.role = role
        self.started_again = 0
        database = urlsplit(servers.dsn)
        self.links = {"postgres": FaultProxy(LOOPBACK, database.port or 0)}
        redis: dict[int, FaultProxy] = {}
        rewrite = _rewriting(redis)
        for number, port in enumerate(servers.redis_ports, start=1):
            redis[port] = self.links[f"redis-{number}"] = FaultProxy(LOOPBACK, port, rewrite)
        settings: dict[str, object] = {}
        if role in QUOTED:
            self.links["upstream"] = FaultProxy(LOOPBACK, urlsplit(servers.upstream).port or 0)
            settings |= {
                "FEED": "websocket",
                "FEED_URL": f"ws://{LOOPBACK}:{self.links['upstream'].port}/",
                "FEED_CONNECTIONS": 1,
            }
        address = f"{database.netloc.rpartition(':')[0]}:{self.links['postgres'].port}"
        self.instance = Instance(
            name,
            folder,
            arguments=("serve",) if role == "all" else ("serve", "--role", role),
            DATABASE_URL=urlunsplit(
                database._replace(netloc=address, query=f"application_name={name}")
            ),
            REDIS_URL="redis+cluster://"
            + ",".join(f"{LOOPBACK}:{proxy.port}" for proxy in redis.values()),
            DATABASE_CONNECTIONS=4,
            JWT_SECRET=secret,
            SHARDS=shards,
            LEASE_S=lease_s,
            PENDING_SWEEP_INTERVAL_S=3,
            POSITIONS_SWEEP_INTERVAL_S=3,
            CACHE_AUDIT_INTERVAL_S=5,
            PORTFOLIO_INTERVAL_S=10,
            # All clients are one address here.
            ADDRESS_COMMANDS_PER_S=100_000,
            ADDRESS_READS_PER_S=100_000,
            LOG_FORMAT="json",
            **settings,
        )
        if role in CLIENTS:
            port = int(self.instance.environment["TAPEWATCH_PORT"])
            self.links["clients"] = FaultProxy(LOOPBACK, port)

    @property
    def has_clients(self) -> bool:
        return "clients" in self.links

    @property
    def address(self) -> str:
        """Where its clients find it."""
        return f"http://{LOOPBACK}:{self.links['clients'].port}"

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for proxy in self.links.values():
                await stack.enter_async_context(proxy)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.instance.stop(signal.SIGKILL)
        finally:
            for proxy in self.links.values():
                proxy.resume()
            await self._stack.aclose()

    async def start(self) -> None:
        """Start it, again and again if need be, until it answers, as an orchestrator does.

        One that finds its database away ends, and says so. Raises TimeoutError.
        """
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not await self._try():
                    self.started_again += 1
                    await asyncio.sleep(AGAIN_S)
        except TimeoutError:
            raise TimeoutError(f"{self.name} does not start: {self.instance.log[-1000:]}") from None

    async def _try(self) -> bool:
        """Start it once; tell whether it answers before it ends."""
        self.instance.start()
        while self.instance.is_running:
            if await self.instance.answers("/livez") == HTTPStatus.OK:
                return True
            await asyncio.sleep(POLL_S)
        return False

    async def kill(self) -> None:
        """End it at once, and wait for its end."""
        self.instance.send(signal.SIGKILL)
        while self.instance.is_running:  # noqa: ASYNC110 - a process has no event
            await asyncio.sleep(POLL_S)


def _rewriting(proxies: dict[int, FaultProxy]) -> Callable[[bytes], bytes]:
    """Return what puts the ports of proxies in the place of those of their nodes."""

    def rewrite(chunk: bytes) -> bytes:
        # What a member reads of its data and its events names no address.
        if b"127.0.0.1" in chunk:
            for port, proxy in proxies.items():
                chunk = chunk.replace(b"\n:%d\r\n" % port, b"\n:%d\r\n" % proxy.port)
                chunk = chunk.replace(b"127.0.0.1:%d" % port, b"127.0.0.1:%d" % proxy.port)
        return chunk

    return rewrite
