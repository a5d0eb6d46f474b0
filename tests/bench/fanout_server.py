"""The serving process of the fan-out benchmark: the service's gateway, or a bare aiohttp loop.

Run as `python -m tests.bench.fanout_server SENDER`. It prints its port, then answers each number N
on stdin with N broadcasts, one after the other, and a `Sent` on stdout as JSON.

The gateway is whole (tokens, snapshot, sockets, fan-out); behind it stand-ins tell of one account
state and publish the prepared messages, so that no database and no cache is measured. `bare` is
what aiohttp alone offers: a handler that keeps sockets, and a loop that awaits `send_str` on each.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from enum import StrEnum

import msgspec
import uvloop
from aiohttp import web
from loguru import logger

from service.api.gateway import build_gateway, gateway_runner
from service.api.openapi import STREAM_PATH
from service.api.ports import EventFeed, Portfolios, PriceBoard, Unsubscribe
from service.api.socket import SocketLimits
from service.domain.decision import AccountState
from service.domain.engine import Engine
from service.domain.instrument import UserType
from service.domain.quote import QuoteGuard
from service.instruments import Instruments
from service.loops.administration import Administration
from service.loops.portfolio import Portfolio
from service.loops.prices import PricesMessage
from service.loops.trading import Trading
from service.storage.database import Database
from service.storage.group_views import price_view
from service.storage.reader import Reader
from service.storage.views import AccountView, OrderView
from telemetry import catalogue
from tests.bench.brokerage import OPENED_NS, desk_with_settings, quiet_quotes
from tests.bench.machine import allow_sockets
from tests.trading_desk import account_view

HOST = "127.0.0.1"
SECRET = "signs the tokens of the fan-out benchmark"
GROUP = "group-7"
QUOTES_A_MESSAGE = 5
QUIET_HEARTBEAT_S = 3_600.0  # pings would be counted as prices

Broadcast = Callable[[Sequence[bytes]], Awaitable[None]]


class Sender(StrEnum):
    GATEWAY = "gateway"
    BARE = "bare"


class Sent(msgspec.Struct, frozen=True):
    """When broadcasting began (monotonic seconds), how long it took, and the CPU time it took."""

    started: float
    seconds: float
    cpu_s: float


def messages(count: int) -> list[bytes]:
    """Return `count` price messages of one group, all of the same length."""
    desk = desk_with_settings()
    for quote in quiet_quotes(1_000, OPENED_NS, seed=1):
        desk.markets[quote.symbol].take(quote)
    terms = [each for (group, _), each in desk.terms.items() if group == GROUP]
    views = [view for each in terms[:QUOTES_A_MESSAGE] if (view := price_view(each)) is not None]
    return [
        msgspec.json.encode(PricesMessage(group=GROUP, sequence=10**9 + number, quotes=views))
        for number in range(count)
    ]


class _Board:
    """Publishes what it is told to."""

    def __init__(self) -> None:
        self.publish: list[Callable[[bytes], None]] = []

    def sequence(self, group: str) -> int:
        return 0

    def subscribe(self, group: str, callback: Callable[[bytes], None]) -> Unsubscribe:
        assert group == GROUP
        self.publish.append(callback)
        return lambda: self.publish.remove(callback)


class _Accounts:
    """Every account there may be: empty, in the one group, and nothing ever happens to it."""

    async def static_orders(self, account_id: int) -> tuple[AccountView, list[OrderView]]:
        state = AccountState(account_id, 0, Decimal(1_000), Decimal(0))
        return account_view(state, UserType.LIVE, GROUP, Decimal(100)), []

    async def refresh(self, account_id: int) -> tuple[AccountView, list[OrderView]]:
        return await self.static_orders(account_id)

    async def process_portfolio_update(self, account_id: int) -> Portfolio | None:
        return None

    async def subscribe(
        self, account_id: int, after: int, callback: Callable[[bytes], None]
    ) -> Unsubscribe:
        return lambda: None


def _gateway() -> tuple[web.Application, Broadcast]:
    engine = Engine(desk_with_settings(), QuoteGuard())
    instruments, board, accounts = Instruments(), _Board(), _Accounts()
    database = Database("postgresql://never.connected", instruments)
    reader = Reader(database, dict)
    trading = Trading(database, reader, instruments, engine)
    portfolios: Portfolios = accounts
    feed: EventFeed = accounts
    prices: PriceBoard = board
    app = build_gateway(
        trading=trading,
        administration=Administration(trading),
        reader=reader,
        portfolios=portfolios,
        board=prices,
        feed=feed,
        instruments=instruments,
        secret=SECRET,
        version="bench",
        limits=SocketLimits(heartbeat_s=QUIET_HEARTBEAT_S),
    )
    sent = instruments.metrics.counter(catalogue.SOCKET_MESSAGES_SENT).child("quotes")
    sockets = instruments.metrics.gauge(catalogue.SOCKETS).child()

    async def broadcast(prepared: Sequence[bytes]) -> None:
        (publish,) = board.publish
        for message in prepared:
            due = sent.value + sockets.value
            publish(message)
            while sent.value < due:  # noqa: ASYNC110 - its tasks run in between
                await asyncio.sleep(0)

    return app, broadcast


def _bare() -> tuple[web.Application, Broadcast]:
    sockets: list[web.WebSocketResponse] = []

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        sockets.append(socket)
        async for _ in socket:
            pass
        sockets.remove(socket)
        return socket

    async def broadcast(prepared: Sequence[bytes]) -> None:
        for message in prepared:
            text = message.decode()
            for socket in sockets:
                await socket.send_str(text)

    app = web.Application()
    app.router.add_get(STREAM_PATH, handle)
    return app, broadcast


async def _serve(sender: Sender) -> None:
    app, broadcast = _gateway() if sender is Sender.GATEWAY else _bare()
    runner = gateway_runner(app)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0, backlog=1_024)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    while line := await commands.readline():
        prepared = messages(int(line))
        gc.collect()
        gc.freeze()
        started, cpu = time.monotonic(), time.process_time()
        await broadcast(prepared)
        ended = Sent(started, time.monotonic() - started, time.process_time() - cpu)
        print(msgspec.json.encode(ended).decode(), flush=True)


if __name__ == "__main__":
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    allow_sockets()
    uvloop.run(_serve(Sender(sys.argv[1])))
