"""The composition root: everything that serves is wired here, of the parts in `service.parts`.

A process of role `all` has every part, and a bus in its memory; another has the parts of its role,
and a bus to the other processes.

Resources start in the order of `cleanup_ctx` and stop in the reverse order: what sends spans first
and last, since all others make some; the ops port next, so that a probe always gets an answer; the
gateway's sockets close before trading drains; the bus carries until there is nothing to carry.
"""

import asyncio
import signal
from collections.abc import Callable, Sequence

from aiohttp import web
from loguru import logger

from service.api.readiness import Readiness
from service.api.serving import runner_of
from service.domain.quote import Quote, QuoteGuard
from service.health import division_check, duty_check, engines_check, traders_check
from service.loops.bus import MemoryBus
from service.loops.market_desk import MarketDesk
from service.parts.bus import BusPart
from service.parts.engine import EnginePart
from service.parts.feed import FeedPart
from service.parts.foundation import Foundation
from service.parts.gateway import GatewayPart
from service.parts.listening import listen
from service.parts.market import Market, MarketPart
from service.roles import ServiceRole
from service.servers import Servers
from service.settings import Settings
from service.signing import SigningSecrets
from service.storage.shard_leases import ShardLeases
from service.traces import Lifetime
from telemetry.logs import Logs

_NS_PER_S = 1_000_000_000
# Of a lease's life: who lags further behind the ticks lets others trade, if these lag less.
FIT_SHARE = 0.5

READINESS = web.AppKey("readiness", Readiness)


def build_service(
    settings: Settings,
    role: ServiceRole,
    servers: Servers,
    secrets: SigningSecrets | None,
    logs: Logs,
) -> web.Application:
    """Wire a process; starting the application starts everything.

    `secrets` are those of a role that answers clients.

    Raises:
        ValueError: the signing secret is too short.
    """
    match role:
        case ServiceRole.FEED:
            return _feed(settings, servers, logs)
        case ServiceRole.ENGINE:
            return _engine(settings, servers, logs)
    assert secrets is not None, "clients are let in by tokens"
    if role is ServiceRole.GATEWAY:
        return _gateway(settings, servers, secrets, logs)
    return _all(settings, servers, secrets, logs)


def _all(
    settings: Settings, servers: Servers, secrets: SigningSecrets, logs: Logs
) -> web.Application:
    base = Foundation(
        settings,
        ServiceRole.ALL,
        servers,
        logs,
        lambda: front.symbols(),
        lambda: front.is_leading,
    )
    bus = MemoryBus(settings.shards)
    market = MarketPart(base, lambda: front, lambda: engine.stores_prices)
    engine = EnginePart(
        settings,
        base,
        bus,
        market.board,
        ServiceRole.ALL.new_holder(),
        _guard(settings),
        shares=False,
    )
    front = engine.front
    gateway = GatewayPart(
        settings, base, servers.redis_url, secrets, front, bus, market.board, front.sequence
    )
    feed = FeedPart(settings, base, front, bus.quotes, lambda: True)
    lifetimes = [market.show, engine.trade, gateway.answer, engine.look, feed.run]
    return _composed(gateway.app, base, lifetimes)


def _feed(settings: Settings, servers: Servers, logs: Logs) -> web.Application:
    base = _foundation(settings, ServiceRole.FEED, servers, logs, lambda: desk)
    desk = MarketDesk(base.database, _guard(settings))
    market = MarketPart(base, lambda: desk, lambda: False, desk)
    others = BusPart(settings, ServiceRole.FEED, base, servers.redis_url, _never)
    publish = others.bus.quotes()

    def take(quote: Quote) -> None:
        desk.on_quote(quote)
        publish(quote)

    base.readiness.register("duty", duty_check(lambda: others.bus.is_feeding))
    feed = FeedPart(settings, base, desk, lambda: take, lambda: others.bus.is_feeding)
    return _composed(web.Application(), base, [market.follow, others.carry, feed.run])


def _engine(settings: Settings, servers: Servers, logs: Logs) -> web.Application:
    base = _foundation(settings, ServiceRole.ENGINE, servers, logs, lambda: front)
    others = BusPart(
        settings, ServiceRole.ENGINE, base, servers.redis_url, lambda shard: front.leads(shard)
    )
    market = MarketPart(base, lambda: front, lambda: engine.stores_prices)
    engine = EnginePart(
        settings,
        base,
        others.bus,
        market.board,
        ServiceRole.ENGINE.new_holder(),
        _guard(settings),
        shares=True,
        is_fit=lambda: others.bus.tick_lag_s <= FIT_SHARE * settings.lease_s,
    )
    front = engine.front
    others.bus.gap_hooks.append(engine.host.sweep)
    market.require_quotes(settings.max_quote_age_s)
    lifetimes = [market.show, others.carry, engine.trade, engine.look]
    return _composed(web.Application(), base, lifetimes)


def _gateway(
    settings: Settings, servers: Servers, secrets: SigningSecrets, logs: Logs
) -> web.Application:
    base = _foundation(settings, ServiceRole.GATEWAY, servers, logs, lambda: desk)
    desk = MarketDesk(base.database, _guard(settings))
    market = MarketPart(base, lambda: desk, lambda: False, desk)
    others = BusPart(settings, ServiceRole.GATEWAY, base, servers.redis_url, _never)
    others.bus.follow(desk.on_quote)
    leases = ShardLeases(base.database)
    base.readiness.register("shards", division_check(leases, settings.shards))
    base.readiness.register("engines", engines_check(leases))
    base.readiness.register("traders", traders_check(leases), required=False)
    market.require_quotes(settings.max_quote_age_s)
    gateway = GatewayPart(
        settings,
        base,
        servers.redis_url,
        secrets,
        desk,
        others.bus,
        market.board,
        _unknown,
        desk.run_once,
    )
    lifetimes = [market.follow, market.show, others.carry, gateway.answer]
    return _composed(gateway.app, base, lifetimes)


def _foundation(
    settings: Settings,
    role: ServiceRole,
    servers: Servers,
    logs: Logs,
    market: Callable[[], Market],
) -> Foundation:
    """Return what a process that works beside others stands on: it is never a mere standby."""
    return Foundation(settings, role, servers, logs, lambda: market().symbols(), lambda: True)


def _composed(
    app: web.Application, base: Foundation, lifetimes: Sequence[Lifetime]
) -> web.Application:
    app[READINESS] = base.readiness
    first = [base.sending_spans, base.ops, base.stores, base.own_state]
    app.cleanup_ctx.extend([*first, *lifetimes])
    return app


def _guard(settings: Settings) -> QuoteGuard:
    return QuoteGuard(
        max_age_ns=int(settings.max_quote_age_s * _NS_PER_S),
        max_future_ns=int(settings.max_quote_future_s * _NS_PER_S),
    )


def _never(shard: int) -> bool:
    """Lead no shard."""
    return False


def _unknown(account_id: int) -> None:
    """Know of no account what was decided last."""


async def serve(
    settings: Settings,
    role: ServiceRole,
    servers: Servers,
    secrets: SigningSecrets | None,
    logs: Logs,
) -> None:
    """Serve until SIGINT or SIGTERM; unready first, then bounded shutdown in order.

    Raises:
        CannotListen: a port is in use, or an address is not this machine's.
    """
    app = build_service(settings, role, servers, secrets, logs)
    runner = runner_of(app) if role.answers else web.AppRunner(app)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, stopping.set)
    try:
        await runner.setup()
        if role.answers:
            await listen(runner, "the API", settings.host, settings.port, "TAPEWATCH")
            logger.info("API on http://{}:{}/api/v1", settings.host, settings.port)
        logger.info("metrics on http://{}:{}/metrics", settings.ops_host, settings.ops_port)
        await stopping.wait()
        logger.info("stopping")
    finally:
        app[READINESS].shutting_down()
        await runner.cleanup()
