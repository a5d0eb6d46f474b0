"""The schema: migrations apply, repeat and roll back; every statement finds its index.

The tables are filled so that a sequential scan would cost more than any index; none is allowed.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
from loguru import logger
from pogo_core.util import migrate

from service.domain.account import Account
from service.domain.decision import (
    AccountState,
    Deal,
    DealEvent,
    Decision,
    EventKind,
    Posting,
    PostingKind,
)
from service.domain.desk import Desk
from service.domain.instrument import UserType
from service.domain.order import Order, OrderStatus, OrderType
from service.domain.record import order_state
from service.storage import loader, reader
from service.storage.batch import COMMIT_STATEMENT, commit_arguments, encode
from service.storage.database import MIGRATIONS, apply_migrations
from service.storage.differences import (
    DIFFERENCES,
    END_OF_ACCOUNTS,
    AccountRange,
    difference_arguments,
)
from service.storage.embedded import EmbeddedPostgres
from service.storage.errors import Unreachable
from service.storage.outbox import PAGE_AFTER
from service.storage.settings_write import SET_TRIGGERS
from service.storage.sweeps import CROSSED_PENDING, CROSSED_POSITIONS, EXPIRED
from tests.adversity.book import execute, fetch
from tests.adversity.shard import BALANCE, EURUSD, GOLD, PLAIN, SYMBOL, terms_of
from tests.support import free_port, fresh_database

ACCOUNTS = 50_000
ORDERS = 400_000
BIG = {"accounts", "orders", "deals", "ledger", "outbox", "commands"}
FILL = f"""
INSERT INTO symbols SELECT 'S' || n, 5, 100000, 'EUR', 'USD', 'forex', 100, 1000000, 100, 0
    FROM generate_series(1, 30) n;
INSERT INTO groups VALUES ('plain', 100, 50, false, 'market');
INSERT INTO accounts (account_id, user_type, group_name, leverage, balance, sequence)
    SELECT n, CASE WHEN n % 2 = 0 THEN 'demo' ELSE 'live' END, 'plain', 100, 1000, 8
    FROM generate_series(1, {ACCOUNTS}) n;
INSERT INTO orders (order_id, account_id, client_order_id, symbol, order_type, status, volume,
        price, trigger_price, stop_loss_trigger, take_profit_trigger,
        placed_time, open_price, margin, commission, reason, limit_price, activated_time,
        expires_at)
    SELECT n, 1 + n::bigint * 7919 % {ACCOUNTS}, 'c' || n, 'S' || 1 + n % 30, order_type, status,
        100, low,
        CASE WHEN status <> 'PENDING' THEN NULL
            WHEN order_type IN ('BUY_LIMIT', 'SELL_STOP') THEN low
            WHEN order_type = 'BUY_STOP_LIMIT' AND is_activated THEN low
            WHEN order_type = 'SELL_STOP_LIMIT' AND NOT is_activated THEN low ELSE high END,
        CASE WHEN status = 'OPEN' AND n % 3 > 0
            THEN CASE WHEN order_type LIKE 'BUY%' THEN low ELSE high END END,
        CASE WHEN status = 'OPEN' AND n % 3 < 2
            THEN CASE WHEN order_type LIKE 'BUY%' THEN high ELSE low END END,
        1, CASE WHEN status <> 'PENDING' THEN low END, CASE WHEN status <> 'PENDING' THEN 1 END,
        CASE WHEN status <> 'PENDING' THEN 0 END, CASE WHEN status = 'CLOSED' THEN 'CLIENT' END,
        CASE WHEN order_type LIKE '%STOP_LIMIT' THEN low END,
        CASE WHEN order_type LIKE '%STOP_LIMIT' AND is_activated THEN 1 END,
        CASE WHEN n % 3 = 0 THEN {2**62} END
    FROM (SELECT n, n % 7 > 3 AS is_activated, 100000 + n % 9000 AS low, 111000 + n % 9000 AS high,
            (ARRAY['BUY_LIMIT', 'SELL_LIMIT', 'BUY_STOP', 'SELL_STOP', 'BUY_STOP_LIMIT',
                'SELL_STOP_LIMIT'])[1 + n / 30 % 6] AS order_type,
            (ARRAY['CLOSED', 'CLOSED', 'PENDING', 'OPEN'])[1 + n % 4] AS status
        FROM generate_series(1, {ORDERS}) n) t;
INSERT INTO deals (deal_id, order_id, account_id, event, reason, profit, commission, balance_after,
        tick, time)
    SELECT order_id, order_id, account_id, 'OPEN', 'BUY_LIMIT', 0, 0, 0, 1, 1 FROM orders;
INSERT INTO ledger (account_id, order_id, kind, amount, balance_after, time)
    SELECT account_id, order_id, 'PROFIT', 1, 1, 1 FROM orders;
INSERT INTO outbox SELECT order_id, account_id,
        row_number() OVER (PARTITION BY account_id ORDER BY order_id), '{{}}' FROM orders;
INSERT INTO commands SELECT account_id, 'k' || order_id, '{{}}' FROM orders;
"""

# Statement, its arguments, the indexes that serve it.
READS: list[tuple[str, list[object], set[str]]] = [
    (reader.LIVE_ORDERS, [[5]], {"accounts_pkey", "orders_live_of_account"}),
    (reader.LIVE_ORDERS, [[*range(1, 501)]], {"accounts_pkey", "orders_live_of_account"}),
    (reader.ORDERS_PAGE, [5, 2**63 - 1, None, None, 50], {"orders_of_account"}),
    (reader.ORDERS_PAGE, [5, 300_000, ["PENDING", "OPEN"], "S3", 50], {"orders_live_of_account"}),
    (reader.ORDER, [77, 5], {"orders_of_account"}),
    (reader.LEDGER_PAGE, [5, 2**63 - 1, 50], {"ledger_of_account"}),
    (reader.DEALS_PAGE, [5, 2**63 - 1, 50], {"deals_of_account", "orders_pkey"}),
    (reader.EVENTS_AFTER, [[5], [3], 100], {"outbox_of_account"}),
    (
        reader.ANSWER,
        [5, "k1"],
        {"commands_pkey", "orders_client_order_id", "accounts_pkey"},
    ),
    (
        f"SELECT {reader.ACCOUNT_SELECT} FROM accounts WHERE account_id = $1",
        [5],
        {"accounts_pkey"},
    ),
    (f"{loader._LIVE} AND account_id = $1 ORDER BY order_id", [5], {"orders_live_of_account"}),
    ("SELECT max(order_id) FROM orders", [], {"orders_pkey"}),
    (PAGE_AFTER, [5, 100, 1, 0], {"outbox_pkey"}),
]


@pytest.fixture(scope="module")
def full_dsn(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """A database with some hundred thousand rows in each big table."""
    runner = asyncio.Runner()
    context = fresh_database(postgres_server)
    dsn = runner.run(context.__aenter__())

    async def fill() -> None:
        await apply_migrations(dsn)
        await execute(dsn, FILL, "VACUUM ANALYZE")

    runner.run(fill())
    yield dsn
    runner.run(context.__aexit__(None, None, None))
    runner.close()


@pytest.fixture
async def full(full_dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(full_dsn)
    yield connection
    await connection.close()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def indexes_of(
    connection: "asyncpg.Connection[asyncpg.Record]", statement: str, arguments: list[object]
) -> set[str]:
    """Return the indexes a statement uses; it must not scan a big table from end to end."""
    text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
    plan = json.loads(text)[0]["Plan"]
    scanned = {n["Relation Name"] for n in nodes(plan) if n["Node Type"] == "Seq Scan"}
    assert not scanned & BIG, text
    return {n["Index Name"] for n in nodes(plan) if "Index Name" in n}


@pytest.mark.parametrize(("statement", "arguments", "expected"), READS)
async def test_reads_use_their_index(
    statement: str,
    arguments: list[object],
    expected: set[str],
    full: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    assert await indexes_of(full, statement, arguments) == expected


@pytest.mark.parametrize("user_type", UserType)
@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (CROSSED_PENDING, {"orders_pending_trigger", "orders_activated_trigger"}),
        (CROSSED_POSITIONS, {"orders_stop_loss_trigger", "orders_take_profit_trigger"}),
    ],
)
async def test_sweeps_use_the_trigger_indexes(
    user_type: UserType,
    statement: str,
    expected: set[str],
    full: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    """In a healthy book nothing is crossed."""
    symbols = [f"S{number}" for number in range(1, 31)]
    quotes = [symbols, [110_000] * 30, [110_010] * 30]
    arguments: list[object] = [-1, 1, 0, user_type, *quotes, ["vip"]]
    assert await full.fetch(statement, *arguments) == []
    used = await indexes_of(full, statement, arguments)
    assert expected <= used
    assert used - expected <= {"accounts_pkey"}


async def test_the_sweep_of_what_has_expired_uses_its_index(
    full: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    arguments: list[object] = [-1, 1, 0, UserType.LIVE, 10**18]
    assert await full.fetch(EXPIRED, *arguments) == []
    used = await indexes_of(full, EXPIRED, arguments)
    assert used == {"orders_expiry", "accounts_pkey"}


@pytest.mark.parametrize("after", [0, 20_000, 49_000])
async def test_a_reconciliation_reads_its_accounts_and_their_live_orders(
    after: int, full: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    until = END_OF_ACCOUNTS if after == 49_000 else after + 1_000
    accounts = AccountRange(UserType.LIVE, after, until, 2**62)
    used = await indexes_of(full, DIFFERENCES, difference_arguments(accounts, [], []))
    assert used == {"accounts_pkey", "orders_live_of_account"}


@pytest.mark.parametrize("count", [1, 100, 1_000])
async def test_a_commit_finds_its_rows_by_key(
    count: int, full: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    decisions = [decision(number) for number in range(1, count + 1)]
    arguments = commit_arguments(
        encode(decisions, ["{}"] * count),
        decisions[-1],
        epoch=0,
        previous_batch=uuid.UUID(int=0),
        batch=uuid.uuid4(),
    )
    used = await indexes_of(full, COMMIT_STATEMENT, arguments)
    assert used >= {"orders_pkey", "accounts_pkey"}


def decision(number: int) -> Decision:
    """Return the opening of a stored pending order, with a commission."""
    desk = Desk()
    desk.set_symbol(EURUSD)
    for group in (PLAIN, GOLD):
        desk.set_group(group)
    desk.set_terms(terms_of("plain", 0))
    account = Account(number, UserType.LIVE, PLAIN, BALANCE, BALANCE)
    order = Order(
        4 * number + 2,
        account,
        desk.terms["plain", SYMBOL],
        OrderType.BUY_LIMIT,
        100,
        1,
        None,
        None,
        None,
        1,
    )
    deal = Deal(DealEvent.OPEN, OrderType.BUY_LIMIT, 100, 1, 0, BALANCE, BALANCE, BALANCE, 1, 1, 1)
    return Decision(
        10**9 + number,
        1,
        1,
        EventKind.OPENED,
        AccountState(number, 9, BALANCE, BALANCE),
        order_state(order, deal),
        OrderStatus.PENDING,
        deal,
        (Posting(PostingKind.COMMISSION, BALANCE, BALANCE),),
        f"k{number}",
    )


async def test_changed_markups_find_their_orders_by_key(
    full: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    ids = [4 * number + 2 for number in range(1_000)]
    nones = [None] * len(ids)
    arguments: list[object] = [ids, ["PENDING"] * len(ids), ids, nones, nones]
    assert await indexes_of(full, SET_TRIGGERS, arguments) == {"orders_pkey"}


# Migrations


async def schema_of(dsn: str) -> list[tuple[Any, ...]]:
    return await fetch(
        dsn,
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name NOT LIKE '%pogo%' ORDER BY 1, 2",
    )


async def test_migrations_apply_once_and_roll_back(postgres_dsn: str) -> None:
    await apply_migrations(postgres_dsn)
    schema = await schema_of(postgres_dsn)
    assert {row[0] for row in schema} >= BIG
    await execute(postgres_dsn, "UPDATE shard_leases SET epoch = 7")
    await apply_migrations(postgres_dsn)
    assert await schema_of(postgres_dsn) == schema
    assert await fetch(postgres_dsn, "SELECT epoch FROM shard_leases") == [(7,)]
    connection = await asyncpg.connect(postgres_dsn)
    await migrate.rollback(connection, MIGRATIONS, schema_name="public")
    await connection.close()
    assert await schema_of(postgres_dsn) == []
    await apply_migrations(postgres_dsn)
    assert await schema_of(postgres_dsn) == schema


async def test_what_the_schema_lacks_is_told_and_warned_of_nobody(
    postgres_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []
    sink = logger.add(told.append, format="{level} {message}")
    try:
        await apply_migrations(postgres_dsn)
        await apply_migrations(postgres_dsn)
    finally:
        logger.remove(sink)
    (line,) = told
    assert line.startswith("INFO bringing the schema up to date: it lacks 0001_trading_core, 0002_")
    assert caplog.records == []


async def test_processes_that_start_together_migrate_once(postgres_dsn: str) -> None:
    await asyncio.gather(*(apply_migrations(postgres_dsn) for _ in range(4)))
    assert await fetch(postgres_dsn, "SELECT count(*) FROM shard_leases") == [(1,)]


async def test_a_database_that_is_away_or_goes_away_is_told_as_such(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unreachable, match="cannot connect to the database"):
        await apply_migrations(f"postgresql://nobody@127.0.0.1:{free_port()}/none")

    async def end(connection: Any, *_: object, **__: object) -> None:
        await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with monkeypatch.context() as patched:
        patched.setattr(migrate, "apply", end)
        with pytest.raises(Unreachable, match="the database did not answer"):
            await apply_migrations(postgres_dsn)
    await apply_migrations(postgres_dsn)
    assert await fetch(postgres_dsn, "SELECT count(*) FROM shard_leases") == [(1,)]
