"""Memory rebuilt from the database is the memory that was lost."""

import asyncio
import gc
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.order import OrderType
from service.domain.shard import ALL_ACCOUNTS
from service.instruments import Instruments
from service.loops import taking_over
from service.loops.taking_over import load_book
from service.storage.database import Database
from service.storage.lease import acquire
from service.storage.loader import load_account, load_engine, load_quotes, save_quotes
from tests.adversity.book import check_book, fetch
from tests.adversity.shard import GUARD, SYMBOL, Resting, memory_of, open_small_book, trading_shard
from tests.faultproxy import Moment, Trap
from tests.proxied import in_front_of, through

BOOK = [
    Resting(1 + number % 6, order_type, price + 10 * number, stop_loss, take_profit)
    for number in range(20)
    for order_type, price, stop_loss, take_profit in (
        (OrderType.BUY_LIMIT, 109_700, 109_000, 110_500),
        (OrderType.SELL_STOP, 109_500, None, 109_300),
        (OrderType.BUY_STOP, 110_200, 110_000, None),
        (OrderType.SELL_LIMIT, 110_300, 110_700, 109_000),
    )
]
WALK = [110_000, 109_850, 109_700, 109_950, 110_250, 110_420, 110_100, 109_600]


async def test_a_restarted_engine_goes_on_as_if_it_had_not_stopped(postgres_dsn: str) -> None:
    """After each tick one engine is loaded anew; from there both decide the same."""
    await open_small_book(postgres_dsn, 6, BOOK)
    async with trading_shard(postgres_dsn) as shard:
        for bid in WALK:
            shard.quote(bid)
            await shard.drained()
            await check_book(postgres_dsn, shard)
        expected = shard.memory()
        deals = await fetch(postgres_dsn, "SELECT order_id, event, price FROM deals ORDER BY 1, 2")
        assert {deal[1] for deal in deals} == {"OPEN", "CLOSE"}

    await _recreate(postgres_dsn)
    await open_small_book(postgres_dsn, 6, BOOK)
    for bid in WALK:
        async with trading_shard(postgres_dsn) as shard:
            shard.quote(bid)
            await shard.drained()
    again = await fetch(postgres_dsn, "SELECT order_id, event, price FROM deals ORDER BY 1, 2")
    assert again == deals
    accounts, orders = shard.memory()
    assert accounts == expected[0]
    assert orders.keys() == expected[1].keys()


async def test_an_account_is_loaded_as_committed(postgres_dsn: str) -> None:
    await open_small_book(postgres_dsn, 6, BOOK)
    async with trading_shard(postgres_dsn) as shard:
        for bid in WALK[:4]:
            shard.quote(bid)
        await shard.drained()
        before = shard.memory()
        async with shard.database.read("load") as connection:
            account, orders = await load_account(connection, shard.desk, 2)
        assert orders
        shard.trading.engine.reload(account, orders, None)
        assert shard.memory() == before
        await check_book(postgres_dsn, shard)


async def test_last_prices_are_kept_and_only_newer_ones_replace_them(postgres_dsn: str) -> None:
    await open_small_book(postgres_dsn, 2)
    async with trading_shard(postgres_dsn) as shard, shard.database.read("load") as connection:
        shard.quote(110_000)
        await save_quotes(connection, shard.desk)
        shard.desk.markets[SYMBOL].bid = 1
        shard.desk.markets[SYMBOL].time -= 1
        await save_quotes(connection, shard.desk)
        engine = Engine(Desk(), GUARD)
        await load_engine(connection, engine)
        assert not engine.desk.markets[SYMBOL].is_quoted
        await load_quotes(connection, engine.desk)
        assert engine.desk.markets[SYMBOL].bid == 110_000


async def test_loading_leaves_the_garbage_collector_on(postgres_dsn: str) -> None:
    await open_small_book(postgres_dsn, 6, BOOK)
    connection = await asyncpg.connect(postgres_dsn)
    engine = Engine(Desk(), GUARD)
    await load_engine(connection, engine)
    await connection.close()
    assert gc.isenabled()
    accounts, orders = memory_of(engine.desk)
    assert len(accounts) == 6
    assert len(orders) == len(BOOK)
    assert engine.desk.next_order_id == len(BOOK) + 1


@asynccontextmanager
async def loading_stands_still(
    dsn: str,
) -> AsyncIterator[tuple[Trap, Coroutine[Any, Any, Engine]]]:
    """Yield the loading of a book whose link stands still at the accounts, and stays so."""
    await open_small_book(dsn, 6, BOOK)
    connection = await asyncpg.connect(dsn)
    async with in_front_of(dsn) as proxy:
        lease = await acquire(connection, 0, "a test", 10.0)
        assert lease is not None
        database = Database(through(proxy, dsn), Instruments())
        trap = proxy.arm(b"FROM accounts", Moment.BEFORE_FORWARD)
        yield trap, load_book(database, lease, ALL_ACCOUNTS, GUARD, is_replay=False)
        await database.close()
    await connection.close()


async def test_a_link_that_stands_still_is_given_up_and_the_book_loaded_by_another(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking_over, "PAGE_TIMEOUT_S", 0.2)
    async with loading_stands_still(postgres_dsn) as (trap, loading):
        engine = await loading
        assert trap.has_sprung
        accounts, orders = memory_of(engine.desk)
        assert (len(accounts), len(orders)) == (6, len(BOOK))


async def test_loading_that_stands_still_ends_when_it_is_cancelled(postgres_dsn: str) -> None:
    """And does not wait for what the server says to it."""
    async with loading_stands_still(postgres_dsn) as (trap, coroutine):
        loading = asyncio.create_task(coroutine)
        await trap.sprung()
        loading.cancel()
        await asyncio.wait((loading,))
        assert loading.cancelled()


async def _recreate(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()
