"""The sweeps: what a tick should have fired and did not is found, counted and executed."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from asyncpg.pool import PoolConnectionProxy

from service.domain.decision import EventKind
from service.domain.instrument import UserType
from service.domain.order import OrderType
from service.loops.requests import Author
from service.storage.database import Database
from service.storage.loader import save_quotes
from service.storage.sweeps import (
    CROSSED_PENDING,
    CROSSED_POSITIONS,
    LastQuotes,
    find_crossed,
)
from telemetry import catalogue
from tests.adversity.book import check_book, execute, fetch, locked_out
from tests.adversity.shard import (
    SYMBOL,
    Resting,
    Shard,
    open_small_book,
    opened,
    terms_of,
    trading_shard,
)

LIVE, DEMO = 1, 2  # account ids; the demo one has a markup of 7 points
PENDING = [
    Resting(account, order_type, price)
    for account in (LIVE, DEMO)
    for order_type, price in (
        (OrderType.BUY_LIMIT, 109_000),
        (OrderType.BUY_STOP, 111_000),
        (OrderType.SELL_LIMIT, 111_000),
        (OrderType.SELL_STOP, 109_000),
    )
]


@pytest.fixture
async def shard(postgres_dsn: str) -> AsyncIterator[Shard]:
    """A shard with one pending order of each type far away, for a live and a demo account."""
    await open_small_book(postgres_dsn, 4, PENDING)
    async with trading_shard(postgres_dsn) as shard:
        shard.quote(110_000)
        yield shard


async def crossed(
    connection: "PoolConnectionProxy[asyncpg.Record]",
    statement: str,
    quotes: LastQuotes,
    user_type: UserType,
) -> list[int]:
    """Return all pages of what a statement finds."""
    pages = find_crossed(connection, statement, quotes, user_type)
    return [order_id async for page in pages for order_id in page]


def missed(shard: Shard) -> dict[str, int]:
    """Return the metric by trigger, where it is not zero."""
    family = shard.instruments.metrics.counter(catalogue.MISSED_TRIGGERS)
    names = [*OrderType, "STOP_LOSS", "TAKE_PROFIT", "TRAILING_STOP", "EXPIRY"]
    return {str(n): int(family.child(n).value) for n in names if family.child(n).value}


def plant_miss(shard: Shard) -> None:
    """Lose every trigger from the books, as a defect might."""
    market = shard.desk.markets[SYMBOL]
    for book in (
        market.ask_at_most,
        market.ask_at_least,
        market.bid_at_most,
        market.bid_at_least,
    ):
        book.pop_crossed(-(10**9) if book.fires_at_most else 10**9)


async def sweep(shard: Shard) -> None:
    await shard.sweeps.run_once()
    await shard.drained()


@pytest.mark.parametrize(
    ("bid", "types"),
    [
        (108_900, {OrderType.BUY_LIMIT, OrderType.SELL_STOP}),
        (111_100, {OrderType.BUY_STOP, OrderType.SELL_LIMIT}),
    ],
)
async def test_missed_pending_orders_are_executed(
    bid: int, types: set[OrderType], shard: Shard
) -> None:
    plant_miss(shard)
    shard.quote(bid)
    assert opened(shard) == []
    await sweep(shard)
    expected = [n for n, one in enumerate(PENDING, start=1) if one.order_type in types]
    assert opened(shard) == expected
    assert missed(shard) == {str(order_type): 2 for order_type in types}
    assert shard.sweeps.missed == 4
    await check_book(shard.database.dsn, shard)
    await sweep(shard)
    assert shard.sweeps.missed == 4


@pytest.mark.parametrize(
    ("order_type", "bid", "trigger"),
    [
        (OrderType.BUY, 108_000, "STOP_LOSS"),
        (OrderType.BUY, 112_000, "TAKE_PROFIT"),
        (OrderType.SELL, 112_000, "STOP_LOSS"),
        (OrderType.SELL, 108_000, "TAKE_PROFIT"),
    ],
)
async def test_missed_stops_and_targets_are_executed(
    order_type: OrderType, bid: int, trigger: str, shard: Shard
) -> None:
    levels = (109_500, 110_500) if order_type is OrderType.BUY else (110_500, 109_500)
    for account in (3, 4):
        await shard.place(account, order_type, stop_loss=levels[0], take_profit=levels[1])
    plant_miss(shard)
    shard.quote(bid)
    assert len(opened(shard)) == 2
    await shard.sweeps.positions.run_once()
    await shard.drained()
    assert opened(shard) == []
    assert missed(shard) == {trigger: 2}
    await check_book(shard.database.dsn, shard)


async def test_nothing_is_missed_where_nothing_was_lost(shard: Shard) -> None:
    for bid in (108_900, 110_000, 111_100):
        shard.quote(bid)
        await sweep(shard)
    assert missed(shard) == {}


async def test_what_is_in_flight_is_left_alone(shard: Shard) -> None:
    """Decided but not stored: the database still shows it pending and crossed."""
    dsn = shard.database.dsn
    async with (
        Database(dsn, shard.instruments).read("sweep") as connection,
        connection.transaction(),
    ):
        await connection.execute("SELECT FROM shard_leases FOR UPDATE")
        shard.quote(108_900)
        await locked_out(dsn)
        market = shard.desk.markets[SYMBOL]
        quotes = LastQuotes([SYMBOL], [market.bid], [market.ask])
        for user_type in UserType:
            assert len(await crossed(connection, CROSSED_PENDING, quotes, user_type)) == 2
        await shard.sweeps.run_once()
        assert missed(shard) == {}
    await shard.drained()
    assert len(opened(shard)) == 4
    await check_book(dsn, shard)


async def test_live_and_demo_are_asked_for_apart(shard: Shard) -> None:
    quotes = LastQuotes([SYMBOL], [108_900], [108_910])
    async with shard.database.read("sweep") as connection:
        found = {
            user_type: await crossed(connection, CROSSED_PENDING, quotes, user_type)
            for user_type in UserType
        }
        assert found == {UserType.LIVE: [1, 4], UserType.DEMO: [5, 8]}
        assert await crossed(connection, CROSSED_POSITIONS, quotes, UserType.LIVE) == []


async def test_a_position_is_not_swept_before_the_next_tick(shard: Shard) -> None:
    """Opened on a tick that is beyond its own stop: the next tick judges it, and no sweep."""
    await shard.place(3, OrderType.BUY_LIMIT, 109_900, stop_loss=109_890)
    shard.quote(109_880)
    await shard.drained()
    assert len(opened(shard)) == 1
    await sweep(shard)
    assert missed(shard) == {}
    assert len(opened(shard)) == 1
    shard.quote(109_880)
    await shard.drained()
    assert opened(shard) == []


async def test_a_changed_markup_is_judged_by_the_next_tick_and_by_no_sweep(shard: Shard) -> None:
    """Moving a trigger past the market is no miss."""
    placed = await shard.place(DEMO, OrderType.BUY_STOP, 110_020)
    assert placed.kind is EventKind.PLACED
    await shard.administration.set_terms(terms_of("gold", 40), Author("7"))
    await sweep(shard)
    assert missed(shard) == {}
    shard.quote(110_000)
    await shard.drained()
    assert len(opened(shard)) == 1
    await check_book(shard.database.dsn, shard)


async def test_prices_of_before_a_restart_trigger_nothing(postgres_dsn: str) -> None:
    """The last prices stored are older than orders placed before a crash."""
    await open_small_book(postgres_dsn, 4)
    async with trading_shard(postgres_dsn) as shard:
        shard.quote(108_000)
        async with shard.database.read("sweep") as connection:
            await save_quotes(connection, shard.desk)  # as a graceful stop does
        shard.quote(110_000)
        await shard.place(LIVE, OrderType.BUY_LIMIT, 109_000)
    # Killed here, and started again before the symbol is quoted.
    await execute(postgres_dsn, "UPDATE shard_leases SET expires_at = now()")
    async with trading_shard(postgres_dsn) as shard:
        assert shard.desk.markets[SYMBOL].bid == 108_000
        await sweep(shard)
        assert opened(shard) == []
        assert missed(shard) == {}
        shard.quote(110_000)
        await sweep(shard)
        assert opened(shard) == []
        shard.quote(108_900)
        await shard.drained()
        assert len(opened(shard)) == 1
        assert await fetch(postgres_dsn, "SELECT price FROM deals") == [(108_910,)]


async def test_sweeps_run_beside_ticks_without_doing_anything_twice(shard: Shard) -> None:
    async def trade() -> None:
        for step in range(60):
            shard.quote(110_000 + (step % 7 - 3) * 400)
            account = 1 + step % 4
            side = OrderType.BUY if step % 2 else OrderType.SELL
            bid = shard.desk.markets[SYMBOL].bid
            down, up = bid - 300, bid + 300
            stop, target = (down, up) if step % 2 else (up, down)
            await shard.place(account, side, stop_loss=stop, take_profit=target)

    async def sweep_on() -> None:
        while not trading.done():
            await shard.sweeps.run_once()

    trading = asyncio.create_task(trade())
    await asyncio.gather(trading, sweep_on())
    await sweep(shard)
    assert missed(shard) == {}
    await check_book(shard.database.dsn, shard)
