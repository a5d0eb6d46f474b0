"""The composition root: everything that serves is wired here and nowhere else.

Resources start in the order of `cleanup_ctx` and stop in the reverse order: what sends spans first
and last, since all others make some; the ops port next, so that a probe always gets an answer; the
gateway's sockets close before trading drains.
"""

import asyncio
import errno
import signal
import socket
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from importlib.metadata import version
from random import Random

from aiohttp import web
from loguru import logger

from service.api.addresses import parse_networks
from service.api.connections import ConnectionLimits
from service.api.gateway import WATCHED_ACCOUNTS, build_gateway
from service.api.ops import build_ops
from service.api.rates import RateLimits
from service.api.readiness import Readiness
from service.api.serving import runner_of
from service.domain.quote import QuoteGuard
from service.feeds import make_feed
from service.health import WatchedFeed, cache_check, database_check, in_session, lease_check
from service.keeping import make_retention
from service.loops.administration import Administration
from service.loops.bus import MemoryBus
from service.loops.leadership import Rules
from service.loops.own_state import OwnState
from service.loops.portfolio import Portfolios
from service.loops.prices import SHOW_INTERVAL_S, PriceBoard
from service.loops.retention import RETENTION_INTERVAL_S
from service.loops.revocations import REVOCATIONS_INTERVAL_S, Revocations
from service.loops.supervisor import Supervisor
from service.loops.trading import Trading
from service.open_files import room_for
from service.servers import Servers
from service.settings import Settings
from service.signing import SigningSecrets
from service.storage.cache import Cache
from service.storage.database import Database
from service.storage.errors import Unreachable
from service.storage.events import EventFeed
from service.storage.loader import save_quotes
from service.storage.reader import Reader
from service.storage.revocations import RevocationStore
from service.traces import traced_instruments
from service.traded_shard import TradedShard
from telemetry.logs import Logs
from telemetry.pulse import Pulse

SAVE_QUOTES_INTERVAL_S = 5.0
BACKLOG = 1_024  # thousands of clients come back at once
# Longer than a silent upstream, or the next attempt to reach it, may take.
FEED_DEADLINE_S = 60.0
_NS_PER_S = 1_000_000_000

TRADING = web.AppKey("trading", Trading)
READINESS = web.AppKey("readiness", Readiness)


def build_service(
    settings: Settings, servers: Servers, secrets: SigningSecrets, logs: Logs
) -> web.Application:
    """Wire the service; starting the application starts everything.

    Raises:
        ValueError: the signing secret is too short.
    """
    instruments, sending_spans = traced_instruments(settings)
    instruments.watch_logs(logs.count, lambda: logs.dropped)
    guard = QuoteGuard(
        max_age_ns=int(settings.max_quote_age_s * _NS_PER_S),
        max_future_ns=int(settings.max_quote_future_s * _NS_PER_S),
    )
    database = Database(servers.database_dsn, instruments, settings.database_connections)
    cache = Cache(servers.redis_url, instruments)
    reader = Reader(database, lambda: trading.symbols())
    board = PriceBoard(lambda: trading.desk, cache, instruments)
    rules = Rules(_holder(), guard, settings.lease_s)
    traded = TradedShard(rules, settings, database, cache, reader, board, instruments)
    trading = traded.trading
    bus = MemoryBus(traded.shard.of)
    bus.serve(traded.shard, traded.intake, trading.on_quote)
    retention = make_retention(settings, database, trading)
    events = EventFeed(servers.redis_url, reader, instruments, trading.sequence)
    events.settings_listeners.append(cache.groups)
    portfolios = Portfolios(cache, reader, lambda: trading.desk)
    revocations = Revocations(RevocationStore(database), settings.max_token_hours * 3600)
    readiness = Readiness(lambda: trading.is_leading)
    supervisor = Supervisor(instruments, Random())
    own_state = OwnState(instruments, database, cache)

    app = build_gateway(
        trading=trading,
        commands=bus,
        administration=Administration(trading),
        reader=reader,
        portfolios=portfolios,
        board=board,
        feed=events,
        loops=supervisor,
        instruments=instruments,
        revocations=revocations,
        secret=secrets.current,
        previous_secret=secrets.previous,
        max_token_s=settings.max_token_hours * 3600,
        version=version("tapewatch"),
        rates=RateLimits(
            settings.account_commands_per_s,
            settings.account_reads_per_s,
            settings.address_commands_per_s,
            settings.address_reads_per_s,
        ),
        connections=ConnectionLimits(
            room_for(settings.max_connections), settings.address_connections
        ),
        proxies=parse_networks(settings.trusted_proxies),
    )
    app[TRADING] = trading
    app[READINESS] = readiness

    async def ops(_: web.Application) -> AsyncIterator[None]:
        runner = runner_of(build_ops(instruments, readiness))
        await runner.setup()
        try:
            host, port = settings.ops_host, settings.ops_port
            await _listen(runner, "the ops port", host, port, "TAPEWATCH_OPS")
            yield
        finally:
            await runner.cleanup()

    async def stores(_: web.Application) -> AsyncIterator[None]:
        yield
        await cache.close()
        await database.close()

    async def trade(_: web.Application) -> AsyncIterator[None]:
        async with supervisor.group() as loops:
            traded.keep_trading(loops)
            own_state.keep(loops)
            with suppress(Unreachable):  # the loop asks again
                await revocations.run_once()
            loops.repeat("revocations", revocations.run_once, interval_s=REVOCATIONS_INTERVAL_S)
            loops.keep("events", events.run, events.pulse)
            loops.keep("price_writer", board.write, board.pulse)
            loops.repeat("prices", board.run_once, interval_s=SHOW_INTERVAL_S)
            push_s = settings.portfolio_push_interval_s
            loops.repeat("portfolio_push", app[WATCHED_ACCOUNTS].push, interval_s=push_s)
            yield
            await traded.leadership.stop()

    async def market(_: web.Application) -> AsyncIterator[None]:
        pulse = Pulse()

        async def run_feed() -> None:
            await pulse.rest(traded.leadership.informed())
            feed = make_feed(settings, trading.symbols, instruments, pulse)
            watched.feed = feed
            await feed.run(bus.quotes())
            logger.info("the feed has come to its end")
            await pulse.rest(asyncio.Event().wait())

        async def save() -> None:
            async with database.read("quotes") as connection:
                await save_quotes(connection, trading.desk)

        async with supervisor.group() as loops:
            loops.keep("feed", run_feed, pulse, deadline_s=FEED_DEADLINE_S)
            traded.keep_looking(loops)
            loops.repeat("retention", retention.run_once, interval_s=RETENTION_INTERVAL_S)
            loops.repeat("save_quotes", save, interval_s=SAVE_QUOTES_INTERVAL_S)
            yield

    watched = WatchedFeed(lambda: trading.desk.markets, settings.max_quote_age_s)
    instruments.watch_feed(lambda: watched.is_healthy, lambda: watched.last_message_s)
    instruments.watch_last_quotes(
        lambda: {name: m.time / _NS_PER_S for name, m in trading.desk.markets.items()}
    )
    instruments.watch_sessions(lambda: in_session(trading.desk.markets, time.time_ns()))
    readiness.register("database", database_check(database.ping))
    readiness.register("lease", lease_check(trading))
    readiness.register("writer", trading.check_writer)
    readiness.register("feed", watched.check)
    readiness.register("redis", cache_check(cache.ping), required=False)
    app.cleanup_ctx.extend([sending_spans, ops, stores, trade, market])
    return app


def _holder() -> str:
    """Name this process in the lease, so that no two are ever taken for one."""
    return f"{socket.gethostname()}-{uuid.uuid4()}"


class CannotListen(Exception):
    """A port that the service should listen on is not to be had; the message says what to do."""


async def _listen(runner: web.AppRunner, what: str, host: str, port: int, prefix: str) -> None:
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(
                f"port {port} on {host} is in use, {what} cannot listen there: stop what uses it, "
                f"or set {prefix}_PORT to a free port"
            ) from None
        raise CannotListen(
            f"{what} cannot listen on {host}:{port} ({error.strerror or error}): "
            f"set {prefix}_HOST and {prefix}_PORT to an address of this machine"
        ) from None


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
        await _listen(runner, "the API", settings.host, settings.port, "TAPEWATCH")
        logger.info("API on http://{}:{}/api/v1", settings.host, settings.port)
        logger.info("metrics on http://{}:{}/metrics", settings.ops_host, settings.ops_port)
        await stopping.wait()
        logger.info("stopping")
    finally:
        app[READINESS].shutting_down()
        await runner.cleanup()
