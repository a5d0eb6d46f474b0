"""Memory rebuilt from the database is the memory that was lost."""

import gc

import asyncpg

from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.order import OrderType
from service.storage.loader import load_account, load_engine, load_quotes, save_quotes
from tests.adversity.book import check_book, fetch
from tests.adversity.shard import GUARD, SYMBOL, Resting, memory_of, open_small_book, trading_shard

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


async def _recreate(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()
