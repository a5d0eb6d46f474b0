"""A gateway served on a free port around a real desk, and a client of it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp import web

from service.api.addresses import Network
from service.api.auth import Role, issue_token
from service.api.connections import ConnectionLimits
from service.api.gateway import WATCHED_ACCOUNTS, build_gateway
from service.api.rates import RateLimits
from service.api.serving import runner_of
from service.api.socket import SocketLimits
from service.domain.shard import ALL_ACCOUNTS
from service.instruments import Instruments
from service.loops.administration import Administration
from service.loops.bus import MemoryBus
from service.loops.intake import Intake
from service.loops.supervisor import Supervisor
from tests.revoked import FakeRevocationStore, nothing_revoked
from tests.unit.api.fakes import (
    FakeBoard,
    FakeFeed,
    FakePortfolios,
    FakeReader,
    FakeTrading,
    FakeVersions,
)
from tests.unit.api.market import TRADER, make_desk

SECRET = "a secret of the tests, long enough to sign"
HOST = "127.0.0.1"


def token(
    account_id: int = TRADER,
    role: Role = Role.TRADER,
    ttl_s: float = 60,
    others: Sequence[int] = (),
) -> str:
    return issue_token(SECRET, account_id, role, ttl_s, others=others)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class World:
    """Everything around one gateway; EURUSD and USDJPY are quoted."""

    def __init__(
        self,
        limits: SocketLimits | None = None,
        rates: RateLimits | None = None,
        proxies: Sequence[Network] = (),
        connections: ConnectionLimits | None = None,
    ) -> None:
        self.desk = make_desk()
        self.trading = FakeTrading(self.desk)
        self.reader = FakeReader(self.trading)
        self.portfolios = FakePortfolios(self.trading, self.reader)
        self.board = FakeBoard()
        self.feed = FakeFeed(self.trading)
        self.instruments = Instruments()
        self.supervisor = Supervisor(self.instruments, Random())
        self.revoked = FakeRevocationStore()
        self.revocations = nothing_revoked(self.revoked)
        self.bus = MemoryBus(ALL_ACCOUNTS.of)
        intake = Intake(self.trading, self.reader)
        self.bus.serve(ALL_ACCOUNTS, intake, lambda quote, arrived_ns=None: None)
        self.app: web.Application = build_gateway(
            market=self.trading,
            commands=self.bus,
            administration=Administration(self.bus, FakeVersions()),
            reader=self.reader,
            portfolios=self.portfolios,
            board=self.board,
            feed=self.feed,
            loops=self.supervisor,
            instruments=self.instruments,
            revocations=self.revocations,
            secret=SECRET,
            version="0",
            limits=limits,
            rates=rates,
            proxies=proxies,
            connections=connections,
        )
        self.trading.quote("EURUSD", 108_490, 108_500)
        self.trading.quote("USDJPY", 150_000, 150_010)

    async def __aenter__(self) -> "World":
        self._runner = runner_of(self.app)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        self.port: int = self._runner.addresses[0][1]
        self.client = aiohttp.ClientSession(
            f"http://{HOST}:{self.port}", connector=aiohttp.TCPConnector(limit=0)
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.client.close()
        await self._runner.cleanup()

    def connections(self) -> int:
        """Return how many connections the gateway has."""
        server = self._runner.server
        return 0 if server is None else len(server.connections)

    async def stop(self) -> None:
        """Stop serving, as a shutdown does."""
        await self._runner.cleanup()

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        account_id: int = TRADER,
        role: Role = Role.TRADER,
        key: str | None = None,
    ) -> tuple[int, Any]:
        """Make a call as an account; return its status and what it said."""
        headers = bearer(token(account_id, role))
        if key is not None:
            headers["Idempotency-Key"] = key
        async with self.client.request(
            method, "/api/v1" + path, json=body, headers=headers
        ) as response:
            return response.status, await response.json(content_type=None)

    async def admin(
        self, method: str, path: str, body: object = None, key: str | None = None
    ) -> tuple[int, Any]:
        """Make a call as an administrator."""
        return await self.call(method, "/admin" + path, body, role=Role.ADMIN, key=key)

    def admin_headers(self) -> dict[str, str]:
        """Return the headers of an administrator."""
        return bearer(token(role=Role.ADMIN))

    @asynccontextmanager
    async def stream(
        self,
        account_id: int = TRADER,
        *others: int,
        ttl_s: float = 60,
        window_bits: int = 0,
        autoping: bool = True,
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a stream as an account, or several; with `window_bits` compression is offered.

        Without `autoping` what is received are pongs, too.
        """
        headers = bearer(token(account_id, ttl_s=ttl_s, others=others))
        async with self.client.ws_connect(
            "/api/v1/stream", headers=headers, compress=window_bits, autoping=autoping
        ) as socket:
            yield socket

    async def push(self) -> None:
        """Push portfolios, as is done every so often."""
        await self.app[WATCHED_ACCOUNTS].push()

    def samples(self, name: str) -> dict[str, float]:
        """Return the samples of a metric by their labels, as exposed, where not zero."""
        text = "".join(self.instruments.metrics.render())
        found = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(name))
        return {labels: float(value) for labels, value in found if float(value)}
