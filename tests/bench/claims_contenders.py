"""The three that are compared, each on a database and a Redis of its own, alike filled.

They stand in one process on one event loop and take turns, with what was loaded frozen out of the
garbage collector, as in production. A round's wall-clock time, the CPU time
of this process and what was asked of the stores are taken of each.
"""

import gc
import logging
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlsplit

import asyncpg
from redis.asyncio import Redis

from service.domain.desk import Desk
from service.domain.order import OrderState, OrderStatus
from service.domain.quote import Quote
from service.storage.batch import ORDER_COLUMNS
from service.storage.embedded import EmbeddedPostgres, EmbeddedValkey
from tests.bench.before import market_pass as before
from tests.bench.before.cache import SELECT_ORDERS, add_pending, fill_cache, order_fields
from tests.bench.before.market import Prices, Triggered
from tests.bench.before.stores import Counts, Stores
from tests.bench.brokerage import INSTRUMENTS, accounts_for, opening_of, seat
from tests.bench.claims_book import GROUP_NAMES, first_quotes, quoted_desk
from tests.bench.claims_cpu import servers_cpu_s
from tests.bench.claims_prices import prices_of
from tests.bench.claims_product import Product
from tests.bench.report import Report
from tests.bench.report_after import market_pass as report_after
from tests.bench.server import store_book
from tests.support import fresh_database

SYMBOLS = {instrument.symbol.name: instrument.symbol for instrument in INSTRUMENTS}
TakePrices = Callable[[Stores, Prices, Sequence[str], int], Awaitable[list[Triggered]]]


class Name(StrEnum):
    BEFORE = "before"
    AFTER = "report after"
    PRODUCT = "product"


class Servers(NamedTuple):
    """One PostgreSQL, a Redis for each (databases of one share their channels), a log folder."""

    postgres: EmbeddedPostgres
    redis_urls: dict[Name, str]
    folder: Path
    ports: Mapping[int, int] = MappingProxyType({})
    """Where contenders find servers, by the servers' own ports, if not there."""

    @staticmethod
    @asynccontextmanager
    async def on(postgres: EmbeddedPostgres, folder: Path) -> "AsyncIterator[Servers]":
        """Run what else is needed in a folder that is empty."""
        async with AsyncExitStack() as stack:
            urls = {}
            for name in Name:
                valkey = EmbeddedValkey(folder / name.name.lower())
                urls[name] = (await stack.enter_async_context(valkey)).url
            yield Servers(postgres, urls, folder)

    def way_to(self, url: str) -> str:
        """Return the way that contenders take to a server; what prepares for them goes past it."""
        parts = urlsplit(url)
        assert parts.port is not None
        host, _, _ = parts.netloc.rpartition(":")
        port = self.ports.get(parts.port, parts.port)
        return parts._replace(netloc=f"{host}:{port}").geturl()

    async def forget(self) -> None:
        """Empty every Redis: what it knows of accounts is of another book."""
        for url in self.redis_urls.values():
            async with Redis.from_url(url) as client:
                await client.flushall()


class Loops(NamedTuple):
    """The loops before or after the report."""

    stores: Stores
    take_prices: TakePrices

    @staticmethod
    @asynccontextmanager
    async def on(servers: Servers, name: Name, dsn: str) -> "AsyncIterator[Loops]":
        """Open the stores and fill the cache."""
        is_before = name is Name.BEFORE
        level = logging.DEBUG if is_before else logging.INFO
        log_file = servers.folder / f"{name}.log"
        url = servers.redis_urls[name]
        async with Stores.on(dsn, url, log_file, level) as stores:
            await fill_cache(stores)
            await before.store_prices(stores, prices_of(first_quotes(), SYMBOLS), GROUP_NAMES)
        async with Stores.on(servers.way_to(dsn), servers.way_to(url), log_file, level) as stores:
            yield Loops(stores, before.take_prices if is_before else report_after.take_prices)

    async def load(self, orders: Sequence[OrderState]) -> None:
        """Cache the pending ones of orders that were stored."""
        ids = [order.order_id for order in orders if order.status is OrderStatus.PENDING]
        async with self.stores.session() as session:
            rows = await session.fetch(SELECT_ORDERS + "WHERE o.order_id = ANY ($1)", ids)
        await add_pending(self.stores, map(order_fields, rows))

    async def take(self, quotes: Sequence[Quote]) -> set[Triggered]:
        """Take quotes as one message; return what they triggered, when all is done."""
        prices = prices_of(quotes, SYMBOLS)
        triggered = await self.take_prices(self.stores, prices, GROUP_NAMES, quotes[0].time)
        assert len(triggered) == len(set(triggered)), "an order was executed twice"
        return set(triggered)

    @property
    def counts(self) -> Counts:
        return self.stores.counts.copy()


class Contenders(NamedTuple):
    """All three, or the service and some, and the desk that orders are made up on."""

    desk: Desk
    dsns: dict[Name, str]
    loops: dict[Name, Loops]
    product: Product

    def of(self, name: Name) -> Loops | Product:
        return self.product if name is Name.PRODUCT else self.loops[name]

    async def add(self, name: Name, orders: Sequence[OrderState]) -> None:
        """Store orders and have a contender know them; not part of any measurement."""
        connection = await asyncpg.connect(self.dsns[name])
        try:
            await connection.copy_records_to_table(
                "orders", records=orders, columns=list(ORDER_COLUMNS)
            )
            await connection.execute("ANALYZE orders")
        finally:
            await connection.close()
        await self.of(name).load(orders)


@asynccontextmanager
async def contenders(
    servers: Servers,
    accounts: int,
    orders: Callable[[Desk], Iterator[OrderState]],
    names: Collection[Name] = tuple(Name),
) -> AsyncIterator[Contenders]:
    """Open these and the service on the same book: accounts for so many orders, and the orders."""
    await servers.forget()
    async with AsyncExitStack() as stack:
        desk = quoted_desk()
        seat(desk, accounts_for(accounts))
        book = await stack.enter_async_context(fresh_database(servers.postgres))
        await store_book(book, opening_of(desk, accounts, orders(desk)))
        dsns = {
            name: await stack.enter_async_context(fresh_database(servers.postgres, book))
            for name in Name
            if name in names or name is Name.PRODUCT
        }
        loops = {
            name: await stack.enter_async_context(Loops.on(servers, name, dsns[name]))
            for name in (Name.BEFORE, Name.AFTER)
            if name in names
        }
        dsn, url = dsns[Name.PRODUCT], servers.redis_urls[Name.PRODUCT]
        product = await stack.enter_async_context(
            Product.on(servers.way_to(dsn), servers.way_to(url), first_quotes())
        )
        gc.collect()
        gc.freeze()
        yield Contenders(desk, dsns, loops, product)
    gc.unfreeze()


class Cost(NamedTuple):
    """What a piece of work took."""

    seconds: float
    cpu_s: float
    servers_cpu_s: float
    counts: Counts


async def measure(
    contender: Loops | Product,
    work: Callable[[], Awaitable[object]],
    settled: Callable[[], Awaitable[None]] | None = None,
) -> Cost:
    """Do the work and return its cost; what is done for it until `settled` takes no time."""
    gc.collect()
    before_it = contender.counts
    servers = servers_cpu_s()
    started, cpu = time.perf_counter(), time.process_time()
    await work()
    seconds = time.perf_counter() - started
    if settled is not None:
        await settled()
    cpu_s = time.process_time() - cpu
    servers = servers_cpu_s() - servers
    return Cost(seconds, cpu_s, servers, contender.counts.since(before_it))


def note(report: Report, row: str, name: Name, cost: Cost, done: float = 1.0) -> None:
    """Add a round to a row, of which this share of the work was done; sessions grow not with it."""
    for what, value in (
        ("ms", cost.seconds * 1e3 / done),
        ("CPU, ms", cost.cpu_s * 1e3 / done),
        ("CPU of servers, ms", cost.servers_cpu_s * 1e3 / done),
        ("sessions", cost.counts.sessions),
        ("statements", cost.counts.statements / done),
        ("Redis round trips", cost.counts.round_trips / done),
        ("log lines", cost.counts.log_lines / done),
    ):
        report.add(f"{row}: {name}: {what}", value)
