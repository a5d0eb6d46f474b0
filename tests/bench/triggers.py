"""(b) One tick that triggers 1 to 10,000 orders: from the tick to the last commit.

Measured: the time from `Trading.on_quote_at` until the writer reports the last decision committed,
through the real engine, writer and an embedded PostgreSQL with fsync. Half of the orders open, half
close at their stop loss, an account for every five of them; each round's orders are fresh.

Against: the same rows by bare SQL. A second database on the same server holds the same book; the
same decisions are encoded beforehand, and only the writer's statement is run, on a bare asyncpg
connection, in the same batches of up to 1,000. Both take turns, another one first each round, on
one event loop (uvloop) with what was loaded frozen out of the garbage collector, as in production.

Told besides: how long deciding takes, and encoding (events as JSON, rows as arrays) measured alone.

Targets: at most 1.5 times the bare SQL, 2 times for a single order.
"""

import asyncio
import gc
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any

import asyncpg
import msgspec
import uvloop
from tqdm import tqdm

from service.domain.decision import DealEvent, Decision
from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.quote import QuoteGuard, QuoteRefusal
from service.instruments import Instruments
from service.loops.trading import Trading
from service.storage import lease as leases
from service.storage.batch import COMMIT_STATEMENT, COMMITTED, commit_arguments, encode
from service.storage.database import Database
from service.storage.lease import Lease
from service.storage.loader import load_engine
from service.storage.queue import MAX_BATCH, Written
from service.storage.reader import Reader
from service.storage.views import event_view
from service.storage.writer import Writer
from tests.bench.brokerage import accounts_for, desk_with_settings, opening_of, seat
from tests.bench.bursts import Burst, orders_of, plan_bursts
from tests.bench.report import Report
from tests.bench.server import bench_postgres, store_book
from tests.support import fresh_database

ROUNDS = {1: 101, 100: 31, 1_000: 15, 10_000: 7}
MAX_RATIO = {1: 2.0, 100: 1.5, 1_000: 1.5, 10_000: 1.5}
WARM_UPS = 6  # a statement's plan is settled after five
LEASE_S = 3_600.0
SETTLE_S = 0.02


def run(report: Report) -> None:
    """Measure every size against the bare SQL."""
    uvloop.run(_run(report))


async def _run(report: Report) -> None:
    bursts = plan_bursts(ROUNDS, WARM_UPS)
    async with (
        bench_postgres() as server,
        fresh_database(server) as product_dsn,
        fresh_database(server) as bare_dsn,
    ):
        for dsn in tqdm((product_dsn, bare_dsn), "storing books", leave=False):
            await store_bursts(dsn, bursts)
        async with _Product.on(product_dsn) as product, BareSql.on(bare_dsn) as bare:
            for burst in tqdm(bursts, "bursts", leave=False):
                await _measure(burst, product, bare, report)
    _conclude(report)


async def store_bursts(dsn: str, bursts: Sequence[Burst]) -> None:
    """Store the book of which these bursts trigger all orders."""
    desk = desk_with_settings()
    last_id = bursts[-1].first_id + bursts[-1].size - 1
    seat(desk, accounts_for(last_id))
    orders = chain.from_iterable(orders_of(desk, burst) for burst in bursts)
    await store_book(dsn, opening_of(desk, last_id, orders))


async def _measure(burst: Burst, product: "_Product", bare: "BareSql", report: Report) -> None:
    batches, encode_s = bare.prepare(burst)
    gc.collect()
    gc.freeze()
    measured = {"encode": encode_s}
    for is_product in (True, False) if burst.step % 2 else (False, True):
        await asyncio.sleep(SETTLE_S)
        if is_product:
            measured["tick to commit"], measured["decide"] = await product.take(burst)
        else:
            measured["bare SQL"] = await bare.write(batches)
    if not burst.is_warm_up:
        for name, seconds in measured.items():
            report.add(_series(burst.size, name), seconds * 1e3)


class _Product:
    """The service's own path, on its own database."""

    def __init__(self, trading: Trading) -> None:
        self._trading = trading
        self._written: list[Written] = []
        self._committed_at = 0.0
        trading.written_hooks.append(self._note)

    @staticmethod
    @asynccontextmanager
    async def on(dsn: str) -> "AsyncIterator[_Product]":
        """Load the book under the lease, and write until left."""
        instruments = Instruments()
        database = Database(dsn, instruments)
        engine, lease = await _load(dsn)
        reader = Reader(database, dict)
        trading = Trading(database, reader, instruments, engine)
        writer = Writer(database, lease, trading.symbols, trading)
        trading.lead(engine, writer)
        writing = asyncio.create_task(writer.run())
        try:
            yield _Product(trading)
        finally:
            writing.cancel()
            await asyncio.wait((writing,))
            await database.close()

    def _note(self, written: Sequence[Written]) -> None:
        self._committed_at = time.perf_counter()
        self._written.extend(written)

    async def take(self, burst: Burst) -> tuple[float, float]:
        """Give the tick; return the seconds to its last commit, and those of deciding."""
        self._written.clear()
        quote = burst.quote
        started = time.perf_counter()
        refusal = self._trading.on_quote_at(quote, quote.time)
        decided = time.perf_counter()
        await self._trading.drained()
        assert refusal is None
        _check(burst, [each.decision for each in self._written])
        return self._committed_at - started, decided - started


class BareSql:
    """The same decisions as rows, written by nothing but the statement."""

    def __init__(
        self, connection: "asyncpg.Connection[asyncpg.Record]", engine: Engine, lease: Lease
    ) -> None:
        self._connection = connection
        self._engine = engine
        self._epoch = lease.epoch
        self._last_batch = lease.last_batch
        self._symbols = {name: market.symbol for name, market in engine.desk.markets.items()}
        self._encoder = msgspec.json.Encoder()

    @staticmethod
    @asynccontextmanager
    async def on(dsn: str) -> "AsyncIterator[BareSql]":
        """Load the book under the lease, and keep a connection."""
        engine, lease = await _load(dsn)
        connection = await asyncpg.connect(dsn)
        try:
            yield BareSql(connection, engine, lease)
        finally:
            await connection.close()

    def prepare(self, burst: Burst) -> tuple[list[list[Any]], float]:
        """Return the statement's arguments, batch by batch, and the seconds encoding took."""
        decisions = self._engine.on_quote(burst.quote, burst.quote.time)
        assert not isinstance(decisions, QuoteRefusal)
        _check(burst, decisions)
        batches = []
        started = time.perf_counter()
        for first in range(0, len(decisions), MAX_BATCH):
            batches.append(self._encode(decisions[first : first + MAX_BATCH]))
        return batches, time.perf_counter() - started

    def _encode(self, decisions: Sequence[Decision]) -> list[Any]:
        payloads = [
            self._encoder.encode(event_view(decision, self._symbols)).decode()
            for decision in decisions
        ]
        previous, self._last_batch = self._last_batch, uuid.uuid4()
        return commit_arguments(
            encode(decisions, payloads),
            decisions[-1],
            epoch=self._epoch,
            previous_batch=previous,
            batch=self._last_batch,
        )

    async def write(self, batches: Sequence[list[Any]]) -> float:
        """Commit the batches one after the other; return the seconds."""
        fetchval = self._connection.fetchval
        started = time.perf_counter()
        outcomes = [await fetchval(COMMIT_STATEMENT, *arguments) for arguments in batches]
        seconds = time.perf_counter() - started
        assert set(outcomes) == {COMMITTED}
        return seconds


async def _load(dsn: str) -> tuple[Engine, Lease]:
    connection = await asyncpg.connect(dsn)
    try:
        lease = await leases.acquire(connection, 0, "bench", LEASE_S)
        assert lease is not None
        engine = Engine(Desk(), QuoteGuard())
        await load_engine(connection, engine)
    finally:
        await connection.close()
    return engine, lease


def _check(burst: Burst, decisions: Sequence[Decision]) -> None:
    done = [d for d in decisions if d.deal is not None and d.deal.event is not DealEvent.CANCEL]
    assert len(done) == burst.size, f"{len(done)} of {burst.size} orders opened or closed"


def _series(size: int, name: str) -> str:
    return f"{_orders(size)}: {name}, ms"


def _orders(size: int) -> str:
    return f"{size:,} order{'s' if size > 1 else ''}"


def _conclude(report: Report) -> None:
    for size in ROUNDS:
        for name in ("tick to commit", "bare SQL", "decide", "encode"):
            report.figure(f"{_orders(size)}: {name}", report.rounds[_series(size, name)], "ms")
        report.ratio(
            f"{_orders(size)}: tick to commit : bare SQL",
            _series(size, "tick to commit"),
            _series(size, "bare SQL"),
            at_most=MAX_RATIO[size],
        )
    told = ("tick to commit", "bare SQL", "decide")
    report.curve(
        "From a tick to the last commit",
        "orders triggered at once",
        "a tick, ms",
        {name: {size: report.rounds[_series(size, name)] for size in ROUNDS} for name in told},
    )
    single = min(ROUNDS)
    report.distribution(
        "From a tick to the commit of a single order",
        "a tick, ms",
        {name: report.rounds[_series(single, name)] for name in told[:2]},
    )
