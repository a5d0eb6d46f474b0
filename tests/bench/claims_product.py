"""The service as a contender: engine, writer and publisher on a PostgreSQL and a Redis of its own.

Work is done when it is committed, and Redis has had the events and the entries of its cache. What
it does is counted by its own metrics: a call to Redis is a round trip, a commit a session and a
statement. Its log is set up as in production, orders at DEBUG, and written to the null device by a
thread of its own.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg

from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.order import OrderState
from service.domain.quote import Quote, QuoteGuard
from service.domain.watch import watch_account
from service.instruments import Instruments
from service.loops.order_log import OrderLog
from service.loops.publisher import Publisher
from service.loops.trading import Trading
from service.storage import lease as leases
from service.storage.cache import Cache
from service.storage.database import Database
from service.storage.loader import load_engine
from service.storage.outbox import Outbox
from service.storage.queue import Written
from service.storage.reader import Reader
from service.storage.writer import Writer
from telemetry import catalogue, vocabulary
from telemetry.log_line import json_text
from telemetry.logs import Area, Logs
from tests.bench.before.market import Triggered
from tests.bench.before.stores import Counts

LEASE_S = 3_600.0
IDLE_POLL_S = 0.0005
FILLED_AT_ONCE = 500
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_ORDERS, _OTHER = Area("orders", "DEBUG"), Area("service", "INFO")


class Product(NamedTuple):
    """The service's own path, from the quote to PostgreSQL and Redis."""

    trading: Trading
    cache: Cache
    reader: Reader
    publisher: Publisher
    instruments: Instruments
    logs: Logs
    written: list[Written]
    database: Database

    @staticmethod
    @asynccontextmanager
    async def on(
        dsn: str, redis_url: str, first_quotes: Iterable[Quote]
    ) -> "AsyncIterator[Product]":
        """Load the book under the lease, at its first quotes, and trade until left."""
        with (
            open(os.devnull, "w", encoding="utf-8") as out,  # noqa: ASYNC230 - which never blocks
            Logs(out, {"service.loops.order_log": _ORDERS}, _OTHER, json_text) as logs,
        ):
            instruments = Instruments()
            database, cache = Database(dsn, instruments), Cache(redis_url, instruments)
            engine = Engine(Desk(), QuoteGuard())
            connection = await asyncpg.connect(dsn)
            lease = await leases.acquire(connection, 0, "bench", LEASE_S)
            assert lease is not None
            await load_engine(connection, engine)
            await connection.close()
            for quote in first_quotes:
                assert engine.admit(quote, quote.time) is None
            engine.begin()
            reader = Reader(database, lambda: trading.symbols())
            trading = Trading(database, reader, instruments, engine)
            publisher = Publisher(cache, Outbox(database), instruments)
            written: list[Written] = []
            trading.written_hooks += [publisher.publish, OrderLog().written, written.extend]
            trading.lead_hooks += [publisher.lead, cache.renew]
            writer = Writer(database, lease, trading.symbols, trading)
            trading.lead(engine, writer)
            tasks = [asyncio.create_task(each.run()) for each in (writer, publisher)]
            product = Product(
                trading, cache, reader, publisher, instruments, logs, written, database
            )
            try:
                await product.settled()
                yield product
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                await cache.close()
                await database.close()

    async def load(self, orders: Sequence[OrderState]) -> None:
        """Take orders that were stored behind the engine's back, and their accounts' entries."""
        engine = self.trading.engine
        engine.load(orders)
        account_ids = sorted({order.account_id for order in orders})
        for account_id in account_ids:
            watch_account(engine.desk, engine.desk.accounts[account_id])
        await self.fill_cache(account_ids)

    async def fill_cache(self, account_ids: Sequence[int]) -> None:
        """Cache accounts with their orders, as the warm-up does."""
        for start in range(0, len(account_ids), FILLED_AT_ONCE):
            part = account_ids[start : start + FILLED_AT_ONCE]
            ticket = await self.cache.open_fill(part)
            found = await self.reader.live_orders(part)
            await self.cache.fill_static_orders(ticket, list(found.values()))

    async def take(self, quotes: Iterable[Quote]) -> set[Triggered]:
        """Take quotes; return what they triggered, when all of it is stored and published."""
        self.written.clear()
        for quote in quotes:
            refusal = self.trading.on_quote_at(quote, quote.time)
            assert refusal is None, f"{quote} was refused: {refusal}"
        await self.settled()
        decisions = [each.decision for each in self.written]
        triggered = [
            Triggered(decision.order.order_id, decision.deal.reason.value)
            for decision in decisions
            if decision.order is not None and decision.deal is not None
        ]
        assert len(triggered) == len(set(triggered)), "an order was executed twice"
        return set(triggered)

    async def settled(self) -> None:
        await self.trading.drained()
        while not self.publisher.is_idle:  # noqa: ASYNC110 - it has no event to wait for
            await asyncio.sleep(IDLE_POLL_S)

    @property
    def counts(self) -> Counts:
        """What was done so far, in the terms of the other contenders."""
        metrics = self.instruments.metrics
        calls = metrics.histogram(catalogue.STORE_OPERATION)
        sessions = metrics.histogram(catalogue.POOL_USE).child("postgresql").count
        statements = sum(
            calls.child("postgresql", each).count
            for each in vocabulary.POSTGRESQL_OPERATIONS
            if each != "connect"
        )
        return Counts(
            sessions + calls.child("postgresql", "commit").count,
            statements,
            sum(calls.child("redis", each).count for each in vocabulary.REDIS_OPERATIONS),
            sum(self.logs.count(level, a.name) for level in _LEVELS for a in (_ORDERS, _OTHER)),
        )
