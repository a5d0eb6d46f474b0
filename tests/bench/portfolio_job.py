"""(e) The portfolio job: 10,000 accounts with 5 positions each, in 20 groups.

Measured: one run of `PortfolioJob` on a real Valkey and PostgreSQL, on one event loop (uvloop): the
time it takes, its calls to Redis and its statements as the link and the pool count them, and, by a
sampler that wants to run every millisecond, the worst pause it makes for everybody else: on the
clock, and in CPU time, which does not count what else runs on the machine. `warm` finds all
accounts in the cache, `cold` none of them. Every valuation is checked against `value` on the desk
itself, to the cent.

Against: `account by account`, the same work with nothing shared, on a tenth of the accounts: for
each one read of its group's prices and terms, one of its orders, one write. Compared by the time an
account takes; it and `warm` take turns. `idle` is the pause that the machine makes by itself.

Targets: a group takes at most 4 calls to Redis, and at most 1 statement.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple

import uvloop
from tqdm import tqdm

from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.order import Order, OrderState, OrderType
from service.domain.quote import Quote, QuoteGuard
from service.domain.times import format_time
from service.instruments import Instruments
from service.loops.group_market import priced_group
from service.loops.holding import group_prices, holding, worth
from service.loops.portfolio import value
from service.loops.portfolio_job import PortfolioJob
from service.storage.cache import Cache
from service.storage.database import Database
from service.storage.embedded import EmbeddedValkey
from service.storage.group_views import group_symbol_view, price_view
from service.storage.loader import load_engine
from service.storage.reader import Reader
from service.storage.valuation import Valuation
from telemetry import catalogue, vocabulary
from tests.bench.brokerage import (
    GROUPS,
    INSTRUMENTS,
    OPENED_NS,
    ORDERS_PER_ACCOUNT,
    SYMBOLS,
    account_of,
    accounts_for,
    desk_with_settings,
    open_at,
    opening_of,
    seat,
    state_of,
)
from tests.bench.report import Report
from tests.bench.server import bench_postgres, store_book
from tests.support import fresh_database

ACCOUNTS = 10_000
POSITIONS = ACCOUNTS * ORDERS_PER_ACCOUNT
ROUNDS = 7
ONE_BY_ONE = ACCOUNTS // 10
IDLE_S = 1.5
INTERVAL_S = 60.0
EXPIRY_S = 180
MAX_CALLS_IN_GROUP = 4
MAX_STATEMENTS_IN_GROUP = 1
SAMPLE_S = 0.001


class Broker(NamedTuple):
    """A broker in memory, in the database and in the cache."""

    desk: Desk
    cache: Cache
    reader: Reader
    job: PortfolioJob
    instruments: Instruments


def run(report: Report) -> None:
    """Store the book, then value it again and again."""
    uvloop.run(_run(report))


async def _run(report: Report) -> None:
    with TemporaryDirectory(prefix="bench-") as folder:
        async with (
            bench_postgres() as server,
            fresh_database(server) as dsn,
            EmbeddedValkey(Path(folder) / "valkey") as valkey,
        ):
            await _store(dsn)
            await _measure(dsn, valkey.url, report)
    _conclude(report)


async def _store(dsn: str) -> None:
    desk = desk_with_settings()
    _quote(desk)
    seat(desk, accounts_for(POSITIONS))
    await store_book(dsn, opening_of(desk, POSITIONS, _positions(desk)))


def _quote(desk: Desk) -> None:
    for symbol, mid, spread, *_ in INSTRUMENTS:
        bid = mid - spread // 2
        desk.markets[symbol.name].take(Quote(symbol.name, bid, bid + spread, OPENED_NS))


def _positions(desk: Desk) -> Iterator[OrderState]:
    """Yield open orders around the market, long and short, on all symbols."""
    random = Random(POSITIONS)
    for order_id in range(1, POSITIONS + 1):
        symbol, mid, *_ = INSTRUMENTS[random.randrange(SYMBOLS)]
        account = desk.accounts[account_of(order_id)]
        order = Order(
            order_id,
            account,
            desk.terms[account.group.name, symbol.name],
            random.choice((OrderType.BUY, OrderType.SELL)),
            random.randint(1, 20) * 100,
            None,
            None,
            None,
            f"bench-{order_id}",
            OPENED_NS,
        )
        open_at(order, mid + round(mid * random.uniform(-0.01, 0.01)))
        yield state_of(desk, order)


async def _measure(dsn: str, redis_url: str, report: Report) -> None:
    instruments = Instruments()
    database, cache = Database(dsn, instruments), Cache(redis_url, instruments)
    engine = Engine(Desk(), QuoteGuard())
    async with database.read("load") as connection:
        await load_engine(connection, engine)
    desk = engine.desk
    _quote(desk)
    symbols = {name: market.symbol for name, market in desk.markets.items()}
    reader = Reader(database, lambda: symbols)
    job = PortfolioJob(lambda: desk, cache, reader, instruments, INTERVAL_S)
    broker = Broker(desk, cache, reader, job, instruments)
    try:
        await _show_groups(broker)
        await job.run_once()
        await _check(broker)
        for number in tqdm(range(ROUNDS), "rounds", leave=False):
            cache.renew()
            await _round("cold", job.run_once, broker, report)
            contenders = [("warm", job.run_once), ("account by account", _one_by_one(broker))]
            for name, work in contenders[:: 1 if number % 2 else -1]:
                await _show_groups(broker)
                await _round(name, work, broker, report)
            await _round("idle", lambda: asyncio.sleep(IDLE_S), broker, report)
    finally:
        await cache.close()
        await database.close()


async def _show_groups(broker: Broker) -> None:
    """Store prices and terms as the board does; prices expire between rounds."""
    for group in broker.desk.groups:
        terms = [each for (name, _), each in broker.desk.terms.items() if name == group]
        prices = [price for each in terms if (price := price_view(each)) is not None]
        await broker.cache.groups.write_prices({group: prices})
        await broker.cache.groups.write_symbols(group, [group_symbol_view(each) for each in terms])


def _one_by_one(broker: Broker) -> Callable[[], Awaitable[object]]:
    desk, cache = broker.desk, broker.cache

    async def work() -> None:
        for account_id in range(1, ONE_BY_ONE + 1):
            account = desk.accounts[account_id]
            read = await cache.groups.market(account.group.name)
            found = await cache.static_orders([account_id])
            assert read is not None
            priced = priced_group(account.group, read, desk).desk
            prices = group_prices(account.group.name, priced)
            held = holding(*found[account_id], prices)
            assert held is not None
            valued = worth(held, prices, format_time(time.time_ns()))
            await cache.write_valuations([valued], (), None, (), EXPIRY_S)

    return work


async def _round(
    name: str, work: Callable[[], Awaitable[object]], broker: Broker, report: Report
) -> None:
    await asyncio.sleep(0.05)
    calls, statements = _counted(broker)
    sampler = asyncio.create_task(_sample())
    started, cpu = time.perf_counter(), time.process_time()
    await work()
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    sampler.cancel()
    pause_s, turn_s = await sampler
    more_calls, more_statements = _counted(broker)
    report.add(f"{name}: ms", seconds * 1e3)
    report.add(f"{name}: CPU, ms", cpu * 1e3)
    report.add(f"{name}: worst pause, ms", pause_s * 1e3)
    report.add(f"{name}: longest turn, ms", turn_s * 1e3)
    report.add(f"{name}: calls to Redis", more_calls - calls)
    report.add(f"{name}: statements", more_statements - statements)


async def _sample() -> tuple[float, float]:
    """Return, once cancelled, the worst pause and the most CPU between two samples, in seconds."""
    pause = turn = 0.0
    try:
        while True:
            before, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(SAMPLE_S)
            pause = max(pause, time.perf_counter() - before - SAMPLE_S)
            turn = max(turn, time.thread_time() - cpu)
    except asyncio.CancelledError:
        return pause, turn


def _counted(broker: Broker) -> tuple[int, int]:
    """Return the calls to Redis and the statements so far, as the stores count them."""
    family = broker.instruments.metrics.histogram(catalogue.STORE_OPERATION)
    return (
        sum(family.child("redis", each).count for each in vocabulary.REDIS_OPERATIONS),
        sum(family.child("postgresql", each).count for each in vocabulary.POSTGRESQL_OPERATIONS),
    )


async def _check(broker: Broker) -> None:
    """Assert that every account was valued as the desk itself values it."""
    found: dict[int, Valuation] = {}
    ids = list(broker.desk.accounts)
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500]
        found |= await broker.cache.valuations(part)
        for account_id, stored in (await broker.reader.live_orders(part)).items():
            shown = value(*stored, broker.desk)
            worth = found[account_id]
            assert (worth.equity, worth.margin, worth.free_margin, worth.margin_level) == (
                shown.equity,
                shown.margin,
                shown.free_margin,
                shown.margin_level,
            )
            assert worth.positions == ORDERS_PER_ACCOUNT
    assert len(found) == ACCOUNTS


def _conclude(report: Report) -> None:
    rounds = report.rounds
    for name in ("warm", "cold"):
        for what, most in (
            ("calls to Redis", MAX_CALLS_IN_GROUP),
            ("statements", MAX_STATEMENTS_IN_GROUP),
        ):
            per_group = [count / GROUPS for count in rounds[f"{name}: {what}"]]
            report.figure(f"{name}: {what} in a group", per_group, "", at_most=most)
        report.figure(f"{name}: a run", rounds[f"{name}: ms"], "ms")
        for what in ("CPU", "worst pause", "longest turn"):
            report.figure(f"{name}: {what}", rounds[f"{name}: {what}, ms"], "ms")
    report.figure("idle: worst pause", rounds["idle: worst pause, ms"], "ms")
    calls = [count / ONE_BY_ONE for count in rounds["account by account: calls to Redis"]]
    report.figure("account by account: calls to Redis an account", calls, "")
    for name, accounts in (("warm", ACCOUNTS), ("account by account", ONE_BY_ONE)):
        for ms in rounds[f"{name}: ms"]:
            report.add(f"{name}: us an account", ms * 1e3 / accounts)
        report.figure(f"{name}: an account", rounds[f"{name}: us an account"], "us")
    series = "us an account"
    report.ratio("warm : account by account", f"warm: {series}", f"account by account: {series}")
