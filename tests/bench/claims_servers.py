"""The contenders as WebSocket servers, each with its traders in a process of their own.

`send` has one message of prices processed: taken from where the market publishes it, judged, and an
update written to every socket. The service shows prices and portfolios ten times a second; here it
does so for every message.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random

from aiohttp import web

from service.api.gateway import WATCHED_ACCOUNTS, build_gateway
from service.api.openapi import STREAM_PATH
from service.api.serving import runner_of
from service.api.socket import SocketLimits
from service.api.watched_accounts import WatchedAccounts
from service.domain.desk import Desk
from service.domain.quote import Quote
from service.domain.shard import ALL_ACCOUNTS
from service.loops.administration import Administration
from service.loops.bus import MemoryBus
from service.loops.intake import Intake
from service.loops.portfolio import Portfolios
from service.loops.prices import PriceBoard
from service.loops.supervisor import Supervisor
from service.storage.events import EventFeed
from service.storage.settings_version import SettingsVersions
from telemetry import catalogue
from tests.bench.before.listener import Listener, market_message
from tests.bench.before.user_state import MARKET_CHANNEL
from tests.bench.claims_client import ACCOUNT_HEADER, HOST, SECRET
from tests.bench.claims_contenders import SYMBOLS, Loops
from tests.bench.claims_prices import prices_of
from tests.bench.claims_product import IDLE_POLL_S, Product
from tests.bench.processes import answer, process
from tests.revoked import nothing_revoked

QUIET_HEARTBEAT_S = 3_600.0  # pings would be counted as messages
MESSAGE_TIMEOUT_S = 600.0


class LoopsServer:
    """A socket, a subscription and a listener for each trader."""

    def __init__(self, loops: Loops, kind: type[Listener], desk: Desk) -> None:
        self._loops = loops
        self._kind = kind
        self._desk = desk
        self._listening = 0
        self._answered = 0
        self._error: BaseException | None = None
        self._changed = asyncio.Event()

    @staticmethod
    @asynccontextmanager
    async def on(
        loops: Loops, kind: type[Listener], desk: Desk, sockets: int
    ) -> "AsyncIterator[LoopsServer]":
        """Serve until left, to traders who listen."""
        server = LoopsServer(loops, kind, desk)
        app = web.Application()
        app.router.add_get(STREAM_PATH, server._handle)
        async with _traders(web.AppRunner(app, access_log=None), sockets):
            await server._until(lambda: server._listening == sockets)
            yield server

    async def _handle(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        account = self._desk.accounts[int(request.headers[ACCOUNT_HEADER])]
        listener = self._kind(
            self._loops.stores, account.user_type.value, account.account_id, account.group.name
        )
        listening = asyncio.create_task(self._listen(listener, socket))
        async for _ in socket:
            pass
        listening.cancel()
        await asyncio.wait((listening,))
        return socket

    async def _listen(self, listener: Listener, socket: web.WebSocketResponse) -> None:
        async def send(text: str) -> None:
            await socket.send_str(text)
            self._answered += 1
            self._changed.set()

        def subscribed() -> None:
            self._listening += 1
            self._changed.set()

        try:
            await listener.listen(send, subscribed)
        except Exception as error:
            self._error = error
            self._changed.set()

    async def send(self, quotes: Sequence[Quote]) -> None:
        """Publish prices; return when every trader was sent an update."""
        self._answered = 0
        text = market_message(prices_of(quotes, SYMBOLS), quotes[0].time)
        await self._loops.stores.redis.publish(MARKET_CHANNEL, text)
        await self._until(lambda: self._answered == self._listening)

    async def settled(self) -> None:
        """Nothing goes on behind what traders are sent."""

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(MESSAGE_TIMEOUT_S):
            while not condition():
                if self._error is not None:
                    raise RuntimeError("a listener failed") from self._error
                self._changed.clear()
                await self._changed.wait()


class ProductServer:
    """The service's gateway, with its price board, portfolios and events."""

    def __init__(self, product: Product, board: PriceBoard, accounts: WatchedAccounts) -> None:
        self._product = product
        self._board = board
        self._accounts = accounts
        metrics = product.instruments.metrics
        self._sent = metrics.counter(catalogue.SOCKET_MESSAGES_SENT).child("quotes")
        self._sockets = metrics.gauge(catalogue.SOCKETS).child()

    @staticmethod
    @asynccontextmanager
    async def on(product: Product, redis_url: str, sockets: int) -> "AsyncIterator[ProductServer]":
        """Serve until left, to traders who listen."""
        trading, instruments = product.trading, product.instruments
        board = PriceBoard(lambda: trading.desk, product.cache, instruments)
        events = EventFeed(redis_url, product.reader, instruments, trading.sequence)
        bus = MemoryBus(ALL_ACCOUNTS.of)
        bus.serve(ALL_ACCOUNTS, Intake(trading, product.reader), trading.on_quote)
        app = build_gateway(
            market=trading,
            commands=bus,
            administration=Administration(bus, SettingsVersions(product.database)),
            reader=product.reader,
            portfolios=Portfolios(product.cache, product.reader, lambda: trading.desk),
            board=board,
            feed=events,
            loops=Supervisor(instruments, Random()),
            instruments=instruments,
            revocations=nothing_revoked(),
            secret=SECRET,
            version="bench",
            limits=SocketLimits(heartbeat_s=QUIET_HEARTBEAT_S),
        )
        tasks = [asyncio.create_task(each) for each in (events.run(), board.write())]
        try:
            async with _traders(runner_of(app), sockets):
                yield ProductServer(product, board, app[WATCHED_ACCOUNTS])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def send(self, quotes: Sequence[Quote]) -> None:
        """Take prices; return when every trader was sent them, and what he is worth by now."""
        due = self._sent.value + self._sockets.value
        triggered = await self._product.take(quotes)
        assert not triggered
        self._board.show()
        await self._accounts.push()
        while self._sent.value < due:  # noqa: ASYNC110 - its tasks run in between
            await asyncio.sleep(0)

    async def settled(self) -> None:
        """Wait until Redis has the prices too, which no trader waits for."""
        while not self._board.is_idle:  # noqa: ASYNC110 - it has no event to wait for
            await asyncio.sleep(IDLE_POLL_S)


@asynccontextmanager
async def _traders(runner: web.AppRunner, sockets: int) -> AsyncIterator[None]:
    """Serve an application to so many traders."""
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0, backlog=1_024).start()
        port = runner.addresses[0][1]
        async with process("tests.bench.claims_client", str(port), str(sockets)) as client:
            await answer(client)
            yield
    finally:
        await runner.cleanup()
