"""The composition root: everything that serves is wired here, of the parts in `service.parts`.

Resources start in the order of `cleanup_ctx` and stop in the reverse order: what sends spans first
and last, since all others make some; the ops port next, so that a probe always gets an answer; the
gateway's sockets close before trading drains.
"""

import asyncio
import signal
import socket
import time
import uuid
from collections.abc import AsyncIterator

from aiohttp import web
from loguru import logger

from service.api.readiness import Readiness
from service.api.serving import runner_of
from service.domain.quote import QuoteGuard
from service.health import in_session
from service.loops.administration import Administration
from service.loops.bus import MemoryBus
from service.loops.prices import SHOW_INTERVAL_S, PriceBoard
from service.parts.engine import EnginePart
from service.parts.feed import FeedPart
from service.parts.foundation import Foundation
from service.parts.gateway import GatewayPart
from service.parts.listening import listen
from service.servers import Servers
from service.settings import Settings
from service.signing import SigningSecrets
from service.storage.settings_version import SettingsVersions
from telemetry.logs import Logs

_NS_PER_S = 1_000_000_000

READINESS = web.AppKey("readiness", Readiness)


def build_service(
    settings: Settings, servers: Servers, secrets: SigningSecrets, logs: Logs
) -> web.Application:
    """Wire the service; starting the application starts everything.

    Raises:
        ValueError: the signing secret is too short.
    """
    guard = QuoteGuard(
        max_age_ns=int(settings.max_quote_age_s * _NS_PER_S),
        max_future_ns=int(settings.max_quote_future_s * _NS_PER_S),
    )
    base = Foundation(
        settings,
        servers,
        logs,
        lambda: trading.symbols(),
        lambda: trading.is_leading,
        needs_redis=False,
    )
    base.instruments.has_role("all")
    bus = MemoryBus(1)
    board = PriceBoard(lambda: trading.desk, base.cache, base.instruments)
    engine = EnginePart(settings, base, bus, board, _holder(), guard)
    trading = engine.front
    gateway = GatewayPart(
        settings,
        base,
        servers.redis_url,
        secrets,
        trading,
        bus,
        Administration(bus, SettingsVersions(base.database)),
        board,
        trading.sequence,
    )
    feed = FeedPart(settings, base, trading, trading.informed, bus.quotes)

    async def show_prices(_: web.Application) -> AsyncIterator[None]:
        async with base.supervisor.group() as loops:
            loops.keep("price_writer", board.write, board.pulse)
            loops.repeat("prices", board.run_once, interval_s=SHOW_INTERVAL_S)
            yield

    base.instruments.watch_last_quotes(
        lambda: {name: m.time / _NS_PER_S for name, m in trading.desk.markets.items()}
    )
    base.instruments.watch_sessions(lambda: in_session(trading.desk.markets, time.time_ns()))
    app = gateway.app
    app[READINESS] = base.readiness
    app.cleanup_ctx.extend(
        [
            *(base.sending_spans, base.ops, base.stores, base.own_state),
            *(show_prices, engine.trade, gateway.answer, engine.look, feed.run),
        ]
    )
    return app


def _holder() -> str:
    """Name this process in the lease, so that no two are ever taken for one."""
    return f"{socket.gethostname()}-{uuid.uuid4()}"


async def serve(settings: Settings, servers: Servers, secrets: SigningSecrets, logs: Logs) -> None:
    """Serve until SIGINT or SIGTERM; unready first, then bounded shutdown in order.

    Raises:
        CannotListen: a port is in use, or an address is not this machine's.
    """
    app = build_service(settings, servers, secrets, logs)
    runner = runner_of(app)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, stopping.set)
    try:
        await runner.setup()
        await listen(runner, "the API", settings.host, settings.port, "TAPEWATCH")
        logger.info("API on http://{}:{}/api/v1", settings.host, settings.port)
        logger.info("metrics on http://{}:{}/metrics", settings.ops_host, settings.ops_port)
        await stopping.wait()
        logger.info("stopping")
    finally:
        app[READINESS].shutting_down()
        await runner.cleanup()
