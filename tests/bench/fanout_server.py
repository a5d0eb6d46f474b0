"""The serving process of the fan-out benchmark: the service's gateway, or a bare aiohttp loop.

Run as `python -m tests.bench.fanout_server SENDER SOCKETS`. It prints its port, then answers each
number N on stdin with N broadcasts, one after the other, and a `Sent` on stdout as JSON.

The gateway is whole (tokens, snapshot, sockets, fan-out); behind it stand-ins tell of accounts with
open positions and publish prices, so that no database and no cache is measured. With portfolios,
the market moves before each broadcast, and each account is valued and told what it is worth by now.
`bare` is what aiohttp alone offers: a handler that keeps sockets, and a loop that awaits `send_str`
on each.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from random import Random

import msgspec
import uvloop
from aiohttp import web
from loguru import logger

from service.api.gateway import WATCHED_ACCOUNTS, build_gateway
from service.api.openapi import STREAM_PATH
from service.api.ports import EventFeed, Portfolios, PriceBoard, Unsubscribe
from service.api.serving import runner_of
from service.api.socket import SocketLimits
from service.domain.engine import Engine
from service.domain.quote import QuoteGuard
from service.domain.shard import ALL_ACCOUNTS
from service.instruments import Instruments
from service.loops.administration import Administration
from service.loops.bus import MemoryBus
from service.loops.intake import Intake
from service.loops.supervisor import Supervisor
from service.loops.trading import Trading
from service.storage.database import Database
from service.storage.reader import Reader
from service.storage.settings_version import SettingsVersions
from telemetry import catalogue
from tests.bench.fanout_accounts import FIRST_SEQUENCE, GROUP, Listeners
from tests.bench.machine import allow_sockets
from tests.revoked import nothing_revoked

HOST = "127.0.0.1"
SECRET = "signs the tokens of the fan-out benchmark"
QUIET_HEARTBEAT_S = 3_600.0  # pings would be counted as prices

Broadcast = Callable[[int], Awaitable[None]]


class Sender(StrEnum):
    GATEWAY = "gateway"
    PORTFOLIOS = "gateway with portfolios"
    BARE = "bare"

    @property
    def messages_a_step(self) -> int:
        """How many messages a socket is sent for each broadcast."""
        return 2 if self is Sender.PORTFOLIOS else 1


class Sent(msgspec.Struct, frozen=True):
    """When broadcasting began (monotonic seconds), how long it took, and the CPU time it took."""

    started: float
    seconds: float
    cpu_s: float


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


def _gateway(sender: Sender, listeners: Listeners) -> tuple[web.Application, Broadcast]:
    engine = Engine(listeners.desk, QuoteGuard())
    instruments, board = Instruments(), _Board()
    database = Database("postgresql://never.connected", instruments)
    reader = Reader(database, dict)
    trading = Trading(database, reader, instruments, engine)
    portfolios: Portfolios = listeners
    feed: EventFeed = listeners
    prices: PriceBoard = board
    bus = MemoryBus(ALL_ACCOUNTS.of)
    bus.serve(ALL_ACCOUNTS, Intake(trading, reader), trading.on_quote)
    app = build_gateway(
        market=trading,
        commands=bus,
        administration=Administration(bus, SettingsVersions(database)),
        reader=reader,
        portfolios=portfolios,
        board=prices,
        feed=feed,
        loops=Supervisor(instruments, Random()),
        instruments=instruments,
        revocations=nothing_revoked(),
        secret=SECRET,
        version="bench",
        limits=SocketLimits(heartbeat_s=QUIET_HEARTBEAT_S),
    )
    sent = instruments.metrics.counter(catalogue.SOCKET_MESSAGES_SENT).child("quotes")
    sockets = instruments.metrics.gauge(catalogue.SOCKETS).child()

    async def broadcast(steps: int) -> None:
        (publish,) = board.publish
        for step in range(steps):
            listeners.move(step + 1)
            due = sent.value + sockets.value
            publish(listeners.prices(FIRST_SEQUENCE + step))
            if sender is Sender.PORTFOLIOS:
                await app[WATCHED_ACCOUNTS].push()
            while sent.value < due:  # noqa: ASYNC110 - its tasks run in between
                await asyncio.sleep(0)

    return app, broadcast


def _bare(listeners: Listeners) -> tuple[web.Application, Broadcast]:
    sockets: list[web.WebSocketResponse] = []

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        sockets.append(socket)
        async for _ in socket:
            pass
        sockets.remove(socket)
        return socket

    async def broadcast(steps: int) -> None:
        for step in range(steps):
            listeners.move(step + 1)
            text = listeners.prices(FIRST_SEQUENCE + step).decode()
            for socket in sockets:
                await socket.send_str(text)

    app = web.Application()
    app.router.add_get(STREAM_PATH, handle)
    return app, broadcast


async def _serve(sender: Sender, sockets: int) -> None:
    listeners = Listeners(sockets)
    if sender is Sender.BARE:
        app, broadcast = _bare(listeners)
        runner = web.AppRunner(app, access_log=None)
    else:
        app, broadcast = _gateway(sender, listeners)
        runner = runner_of(app)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0, backlog=1_024)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    while line := await commands.readline():
        gc.collect()
        gc.freeze()
        started, cpu = time.monotonic(), time.process_time()
        await broadcast(int(line))
        ended = Sent(started, time.monotonic() - started, time.process_time() - cpu)
        print(msgspec.json.encode(ended).decode(), flush=True)


if __name__ == "__main__":
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    allow_sockets()
    uvloop.run(_serve(Sender(sys.argv[1]), int(sys.argv[2])))
