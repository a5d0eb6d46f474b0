"""The demo book opens in an empty database, whole, and never on top of another."""

import asyncpg
import pytest

from service.demo import open_demo
from service.scenario.folder import DEMO_FOLDER, read_scenario
from service.storage.database import apply_migrations
from service.storage.importer import is_empty
from tests.adversity.book import check_book, execute, fetch
from tests.adversity.shard import open_small_book, trading_shard

COUNTED = ("symbols", "groups", "group_symbols", "accounts", "orders", "ledger")


async def counts(dsn: str) -> dict[str, int]:
    return {table: (await fetch(dsn, f"SELECT count(*) FROM {table}"))[0][0] for table in COUNTED}


async def test_an_empty_database_gets_the_whole_book(postgres_dsn: str) -> None:
    await open_demo(postgres_dsn)
    scenario = read_scenario(DEMO_FOLDER)
    assert await counts(postgres_dsn) == {
        "symbols": len(scenario.symbols),
        "groups": len(scenario.groups),
        "group_symbols": len(scenario.group_symbols),
        "accounts": len(scenario.accounts),
        "orders": len(list(scenario.orders.placed_at(0))),
        "ledger": sum(account.balance != 0 for account in scenario.accounts),
    }
    assert await fetch(postgres_dsn, "SELECT DISTINCT status FROM orders") == [("PENDING",)]
    stored = await fetch(postgres_dsn, "SELECT account_id, balance FROM accounts ORDER BY 1")
    assert stored == sorted((a.account_id, a.balance) for a in scenario.accounts)
    await check_book(postgres_dsn)


async def test_the_book_can_be_traded_on(postgres_dsn: str) -> None:
    await open_demo(postgres_dsn)
    async with trading_shard(postgres_dsn) as shard:
        await shard.fund(1, "5.00")
        await check_book(postgres_dsn, shard)


async def test_it_is_opened_once(postgres_dsn: str) -> None:
    await open_demo(postgres_dsn)
    before = await state(postgres_dsn)
    await open_demo(postgres_dsn)
    assert await state(postgres_dsn) == before


async def test_another_book_is_left_alone(postgres_dsn: str) -> None:
    await open_small_book(postgres_dsn, 2)
    before = await state(postgres_dsn)
    await open_demo(postgres_dsn)
    assert await state(postgres_dsn) == before


async def test_what_a_restart_finds_is_what_was_there(postgres_dsn: str) -> None:
    """Trades made on the demo book survive: a start does not open it again."""
    await open_demo(postgres_dsn)
    async with trading_shard(postgres_dsn) as shard:
        await shard.fund(1, "5.00")
        memory = shard.memory()
    await open_demo(postgres_dsn)
    async with trading_shard(postgres_dsn) as shard:
        assert shard.memory() == memory


async def test_a_book_that_cannot_be_opened_leaves_the_database_empty(
    postgres_dsn: str,
) -> None:
    await apply_migrations(postgres_dsn)
    await execute(postgres_dsn, "ALTER TABLE orders ADD CONSTRAINT planted CHECK (order_id < 3)")
    with pytest.raises(asyncpg.CheckViolationError):
        await open_demo(postgres_dsn)
    assert set((await counts(postgres_dsn)).values()) == {0}
    await execute(postgres_dsn, "ALTER TABLE orders DROP CONSTRAINT planted")
    await open_demo(postgres_dsn)
    assert (await counts(postgres_dsn))["orders"] > 3


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO symbols VALUES ('X', 5, 1, 'A', 'USD', 'forex', 1, 1, 1, 0)",
        "INSERT INTO groups VALUES ('x', 100, 50, true, 'market');"
        "INSERT INTO accounts VALUES (1, 'live', 'x', 100, 0)",
    ],
)
async def test_symbols_or_accounts_make_a_database_one_that_is_not_empty(
    statement: str, postgres_dsn: str
) -> None:
    await apply_migrations(postgres_dsn)
    connection = await asyncpg.connect(postgres_dsn)
    try:
        assert await is_empty(connection)
        await connection.execute(statement)
        assert not await is_empty(connection)
        await open_demo(postgres_dsn)
        assert await connection.fetchval("SELECT count(*) FROM orders") == 0
    finally:
        await connection.close()


async def state(dsn: str) -> list[tuple[object, ...]]:
    """Return accounts, orders and ledger as they are stored."""
    rows: list[tuple[object, ...]] = []
    for table in ("accounts", "orders", "ledger"):
        rows += await fetch(dsn, f"SELECT * FROM {table} ORDER BY 1")
    return rows
