"""The check of a database: a book that was traded is clean, each fault planted in it is found."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest

from service.domain.instructions import PlaceOrder
from service.domain.order import OrderType
from service.loops.requests import Author
from service.loops.rollover import Rollover
from service.storage.embedded import EmbeddedPostgres
from service.storage.views import EventView
from service.verify.fault import NoBook, Rule
from service.verify.money import NUMBERS
from service.verify.verification import MAX_TOLD, check, verify
from tests.adversity.book import execute
from tests.adversity.shard import (
    SYMBOL,
    Resting,
    Shard,
    open_small_book,
    terms_of,
    trading_shard,
)
from tests.adversity.test_known_failures_of_swaps import after_the_rollover, set_swap
from tests.integration.test_dealing_desk import close, correct
from tests.support import fresh_database

# The orders of the trader, who pays commission, and of the other.
RESTING, HELD, PARTED, CLOSED, CANCELLED, UNDONE, REOPENED, OTHERS = range(1, 9)
TRADER, OTHER = 2, 3


async def trade(dsn: str) -> None:
    """Let one of each kind of thing happen to an order."""
    resting = Resting(TRADER, OrderType.BUY_LIMIT, 100_000, 99_000, 120_000)
    await open_small_book(dsn, 4, [resting])
    async with trading_shard(dsn) as shard:
        shard.quote(110_000)
        await set_swap(shard, "-250")
        terms = replace(terms_of("gold", 7, "3.50"), swap_long=Decimal(-250))
        await shard.administration.set_terms(terms, Author("7"))
        await shard.place(TRADER, stop_loss=100_000, take_profit=120_000, key="held")
        parted = await buy(shard, 300)
        shard.quote(110_100)
        await close(shard, parted, 100)
        await close(shard, await buy(shard))
        cancelled = await shard.place(TRADER, OrderType.SELL_LIMIT, 130_000)
        assert cancelled.order is not None
        order_id = cancelled.order.order_id
        await shard.trading.command(
            TRADER, None, lambda desk, now: desk.cancel(TRADER, order_id, now)
        )
        await correct(shard, await shard.place(TRADER, OrderType.SELL))
        await correct(shard, await close(shard, await buy(shard)))
        await shard.place(OTHER, OrderType.SELL)
        await shard.fund(OTHER, "25.50", key="funds")
        assert await Rollover(shard.trading, after_the_rollover()).run_once() == 3
        await shard.drained()
        await shard.leadership.stop()


async def buy(shard: Shard, volume: int = 100) -> EventView:
    command = PlaceOrder(TRADER, SYMBOL, OrderType.BUY, volume)
    return await shard.trading.command(TRADER, None, lambda desk, now: desk.place(command, now))


@pytest.fixture(scope="module")
def traded_dsn(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    runner = asyncio.Runner()
    context = fresh_database(postgres_server)
    dsn = runner.run(context.__aenter__())
    runner.run(trade(dsn))
    yield dsn
    runner.run(context.__aexit__(None, None, None))
    runner.close()


@pytest.fixture
async def book(traded_dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """The traded book, within a transaction that leaves it as it was."""
    connection = await asyncpg.connect(traded_dsn)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


async def test_a_traded_book_is_clean(traded_dsn: str) -> None:
    report = await verify(traded_dsn)
    assert report.faults == []
    assert report.is_clean
    assert (report.rows["accounts"], report.rows["orders"]) == (4, 8)
    assert report.lines()[-1].startswith("nothing is wrong; checked 4 of accounts, 8 of orders, ")


# Each fault breaks these rules and no others.
FAULTS: list[tuple[str, set[Rule]]] = [
    ("UPDATE symbols SET sessions = 'sometimes'", {Rule.UNREADABLE}),
    ("UPDATE group_symbols SET spread_pip = 0.000013", {Rule.UNREADABLE}),
    (f"UPDATE orders SET reason = 'WHIM' WHERE order_id = {HELD}", {Rule.UNREADABLE, Rule.FILL}),
    # Names
    (
        f"UPDATE deals SET order_id = 99 WHERE order_id = {CANCELLED}",
        {Rule.ORPHAN, Rule.DEALS_OF_ORDER},
    ),
    ("UPDATE deals SET account_id = 1 WHERE deal_id = 1", {Rule.ORPHAN, Rule.EVENT}),
    (
        "INSERT INTO ledger (account_id, kind, amount, balance_after, time) "
        "VALUES (99, 'DEPOSIT', 1, 1, 1)",
        {Rule.ORPHAN},
    ),
    (
        f"UPDATE ledger SET order_id = 99 WHERE kind = 'PROFIT' AND order_id = {CLOSED}",
        {Rule.ORPHAN},
    ),
    (
        f"UPDATE ledger SET order_id = {OTHERS} WHERE kind = 'PROFIT' AND order_id = {CLOSED}",
        {Rule.ORPHAN},
    ),
    ("UPDATE commands SET account_id = 99 WHERE key = 'funds'", {Rule.ORPHAN}),
    ("INSERT INTO outbox VALUES (0, 99, 1, '{}')", {Rule.ORPHAN}),
    ("DELETE FROM group_symbols WHERE group_name = 'plain'", {Rule.NO_TERMS}),
    # Money
    ("UPDATE accounts SET balance = balance + 0.01 WHERE account_id = 1", {Rule.BALANCE}),
    (
        "UPDATE ledger SET amount = 25.505 WHERE amount = 25.50",
        {Rule.CENTS, Rule.BALANCE, Rule.LEDGER_CHAIN},
    ),
    ("DELETE FROM ledger WHERE amount = 25.50", {Rule.BALANCE}),
    (
        "UPDATE ledger SET balance_after = balance_after + 1 WHERE amount = 25.50",
        {Rule.LEDGER_CHAIN},
    ),
    (
        f"UPDATE deals SET profit = profit + 1 WHERE event = 'CLOSE' AND order_id = {CLOSED}",
        {Rule.DEAL_LEDGER, Rule.ORDER_MONEY},
    ),
    (
        f"UPDATE deals SET commission = 0 WHERE event = 'OPEN' AND order_id = {HELD}",
        {Rule.DEAL_LEDGER, Rule.ORDER_MONEY},
    ),
    (
        f"UPDATE deals SET balance_after = 0 WHERE event = 'CLOSE' AND order_id = {CLOSED}",
        {Rule.DEAL_BALANCE},
    ),
    (f"UPDATE orders SET profit = 7 WHERE order_id = {PARTED}", {Rule.ORDER_MONEY}),
    (f"UPDATE orders SET commission = NULL WHERE order_id = {UNDONE}", {Rule.ORDER_MONEY}),
    (f"UPDATE orders SET swap = -2.49 WHERE order_id = {HELD}", {Rule.ORDER_SWAP}),
    ("UPDATE accounts SET margin = margin + 0.000001 WHERE account_id = 3", {Rule.MARGIN}),
    (f"UPDATE orders SET margin = 7 WHERE order_id = {OTHERS}", {Rule.MARGIN}),
    ("UPDATE accounts SET in_margin_call = true WHERE account_id = 1", {Rule.MARGIN_CALL}),
    # Orders and deals
    (
        f"UPDATE deals SET corrected_by = NULL WHERE order_id = {UNDONE}",
        {Rule.DEALS_OF_ORDER, Rule.CORRECTION, Rule.FILL},
    ),
    (
        f"UPDATE deals SET profit = 7 WHERE corrects IS NOT NULL AND order_id = {REOPENED}",
        {Rule.CORRECTION},
    ),
    (
        f"UPDATE deals SET corrects = 1 WHERE corrects IS NOT NULL AND order_id = {REOPENED}",
        {Rule.CORRECTION},
    ),
    ("UPDATE ledger SET kind = 'DEPOSIT' WHERE kind = 'CORRECTION'", {Rule.CORRECTION}),
    (
        f"UPDATE orders SET status = 'CLOSED', reason = 'CLIENT' WHERE order_id = {OTHERS}",
        {Rule.DEALS_OF_ORDER, Rule.FILL, Rule.MARGIN},
    ),
    (f"DELETE FROM deals WHERE order_id = {CANCELLED}", {Rule.DEALS_OF_ORDER}),
    (
        "DROP INDEX deals_once; UPDATE deals SET event = 'OPEN' WHERE event = 'CLOSE' "
        f"AND order_id = {CLOSED}",
        {Rule.DEALS_OF_ORDER, Rule.FILL},
    ),
    (f"UPDATE orders SET open_price = 1 WHERE order_id = {HELD}", {Rule.FILL}),
    (f"UPDATE orders SET close_price = NULL WHERE order_id = {CLOSED}", {Rule.FILL}),
    (f"UPDATE orders SET reason = 'EXPIRED' WHERE order_id = {CANCELLED}", {Rule.FILL}),
    (f"UPDATE orders SET volume = 300 WHERE order_id = {PARTED}", {Rule.VOLUME}),
    ("UPDATE deals SET volume = 50 WHERE event = 'PARTIAL_CLOSE'", {Rule.VOLUME}),
    # Triggers, events, lease
    (
        f"UPDATE orders SET trigger_price = trigger_price + 1 WHERE order_id = {RESTING}",
        {Rule.TRIGGER},
    ),
    (f"UPDATE orders SET stop_loss = 99_999 WHERE order_id = {HELD}", {Rule.TRIGGER}),
    (f"UPDATE orders SET take_profit_trigger = NULL WHERE order_id = {HELD}", {Rule.TRIGGER}),
    ("UPDATE group_symbols SET spread = spread + 2 WHERE group_name = 'gold'", {Rule.TRIGGER}),
    (f"UPDATE orders SET trigger_price = 1 WHERE order_id = {CLOSED}", {Rule.TRIGGER}),
    (
        "UPDATE accounts SET sequence = sequence + 1 WHERE account_id = 3",
        {Rule.SEQUENCE, Rule.EVENT},
    ),
    ("DELETE FROM outbox WHERE account_id = 3 AND sequence = 1", {Rule.SEQUENCE, Rule.EVENT}),
    (
        "DROP INDEX outbox_of_account; UPDATE outbox SET sequence = 3 - sequence "
        "WHERE account_id = 3",
        {Rule.SEQUENCE, Rule.EVENT},
    ),
    (
        f"DELETE FROM outbox USING deals WHERE event_id = deal_id AND order_id = {OTHERS}",
        {Rule.SEQUENCE, Rule.EVENT},
    ),
    ("UPDATE outbox SET payload = 'nothing' WHERE account_id = 3 AND sequence = 2", {Rule.EVENT}),
    ("UPDATE event_relay SET published_until = 1000", {Rule.EVENT_RELAY}),
    ("DELETE FROM event_relay", {Rule.EVENT_RELAY}),
    ("UPDATE shard_leases SET last_decision = last_decision - 1", {Rule.LEASE}),
    ("UPDATE shard_leases SET expires_at = 'infinity'", {Rule.LEASE}),
    ("UPDATE shard_leases SET rolled_until = 4e18", {Rule.LEASE}),
    ("UPDATE shard_leases SET epoch = -1", {Rule.LEASE}),
    ("DELETE FROM event_relay; DELETE FROM shard_leases", {Rule.LEASE}),
]
UNCHECKED = """
DO $$ DECLARE each record; BEGIN
    FOR each IN SELECT conrelid::regclass AS held_by, conname FROM pg_constraint
        WHERE contype = 'c' AND connamespace = 'public'::regnamespace
    LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', each.held_by, each.conname);
    END LOOP;
END $$
"""


@pytest.mark.parametrize(("statement", "rules"), FAULTS, ids=lambda value: str(value)[:60])
async def test_a_fault_is_found_by_its_rule(
    statement: str, rules: set[Rule], book: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await book.execute(statement)
    report = await check(book)
    assert {fault.rule for fault in report.faults} == rules, report.lines()


def test_every_rule_is_broken_once() -> None:
    assert set().union(*(rules for _, rules in FAULTS)) | {Rule.NOT_FINITE} == set(Rule)


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [(table, column, "NaN") for table, (_, columns) in NUMBERS.items() for column in columns]
    + [("orders", "margin", "Infinity"), ("ledger", "amount", "-Infinity")],
)
async def test_what_is_not_finite_is_found(
    table: str, column: str, value: str, book: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await book.execute(UNCHECKED)
    await book.execute(f"UPDATE {table} SET {column} = '{value}'")
    report = await check(book)
    told = [fault for fault in report.faults if fault.rule is Rule.NOT_FINITE]
    assert {(fault.what.split()[0], fault.what.split()[-1]) for fault in told} == {(table, column)}
    assert {fault.found for fault in told} == {value}


@pytest.mark.parametrize(
    ("statement", "rules"),
    [
        ("DELETE FROM outbox WHERE account_id = 3", set()),
        ("DELETE FROM outbox WHERE account_id = 3 AND sequence = 1", set()),
        ("DELETE FROM outbox WHERE account_id = 3 AND sequence = 2", {Rule.SEQUENCE, Rule.EVENT}),
        ("DELETE FROM outbox WHERE account_id = 2 AND sequence = 3", {Rule.SEQUENCE}),
        (f"DELETE FROM deals WHERE order_id IN ({CLOSED}, {CANCELLED}, {UNDONE})", set()),
        (f"DELETE FROM deals WHERE order_id = {HELD}", {Rule.DEALS_OF_ORDER, Rule.ORDER_MONEY}),
        (
            f"DELETE FROM deals WHERE order_id = {CLOSED} AND event = 'OPEN'",
            {Rule.DEALS_OF_ORDER, Rule.FILL, Rule.ORDER_MONEY},
        ),
    ],
)
async def test_what_was_pruned_is_not_missed(
    statement: str, rules: set[Rule], book: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """As long as it is the oldest events of an account, or all deals of an order that ended."""
    await book.execute(
        "INSERT INTO pruned VALUES ('outbox', 1, 0, 1000, now()), ('deals', 1, 0, 1000, now())"
    )
    await book.execute(statement)
    report = await check(book)
    assert {fault.rule for fault in report.faults} == rules, report.lines()


async def test_no_number_is_stored_that_is_not_finite(
    book: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    columns = await book.fetch(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = 'public' AND data_type = 'numeric'"
    )
    checked = {(table, name) for table, (_, names) in NUMBERS.items() for name in names}
    assert {tuple(row) for row in columns} == checked
    for table, column in sorted(checked):
        for value in ("NaN", "Infinity", "-Infinity"):
            with pytest.raises(asyncpg.CheckViolationError):
                async with book.transaction():
                    await book.execute(f"UPDATE {table} SET {column} = '{value}'")


async def test_a_fault_is_told_with_its_id_and_both_values(
    book: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    await book.execute("UPDATE accounts SET balance = balance + 0.01 WHERE account_id = 1")
    report = await check(book)
    told, summary = report.lines()
    assert told == (
        "balance: balance of account 1: expected 1000000.00 as its ledger sums to, found 1000000.01"
    )
    assert summary.startswith("faults: 1; checked 4 of accounts, 8 of orders, ")


async def test_more_faults_than_can_be_told_are_told_to_be_more(
    book: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    await book.execute(
        "INSERT INTO ledger (account_id, kind, amount, balance_after, time) "
        f"SELECT 1000 + n, 'DEPOSIT', 1, 1, 1 FROM generate_series(0, {MAX_TOLD}) n"
    )
    report = await check(book)
    assert len(report.faults) == MAX_TOLD
    assert report.more == [Rule.ORPHAN]
    assert "orphan: and more, of which the first 100 are told" in report.lines()


async def test_what_is_no_book_is_told(postgres_dsn: str) -> None:
    with pytest.raises(NoBook, match="no database of this version"):
        await verify(postgres_dsn)


# The command


async def run_verify(data_dir: Path, *options: str, dsn: str = "") -> tuple[int, str, str]:
    """Return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "import sys; from service.cli import main; sys.exit(main())"),
        *("verify", *options),
        env=os.environ | {"TAPEWATCH_DATABASE_URL": dsn, "TAPEWATCH_DATA_DIR": str(data_dir)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_the_command_checks_what_the_settings_name(
    traded_dsn: str, postgres_dsn: str, tmp_path: Path
) -> None:
    code, out, _ = await run_verify(tmp_path, dsn=traded_dsn)
    assert (code, out.split(";")[0]) == (0, "nothing is wrong")
    code, out, err = await run_verify(tmp_path, dsn=postgres_dsn)
    assert (code, out) == (2, "")
    assert "no database of this version" in err
    code, out, err = await run_verify(tmp_path)
    assert (code, out) == (2, "")
    assert "TAPEWATCH_DATABASE_URL" in err


async def test_the_command_checks_the_embedded_database_up_or_stopped(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path / "postgres", durable=False) as server:
        await open_small_book(server.dsn, 2)
        code, out, _ = await run_verify(tmp_path)
        assert (code, out.split(";")[0]) == (0, "nothing is wrong")
        await execute(server.dsn, "UPDATE accounts SET balance = 7 WHERE account_id = 1")
    code, out, _ = await run_verify(tmp_path, "--json")
    report = json.loads(out)
    assert (code, report["is_clean"], report["rows"]["accounts"]) == (1, False, 2)
    [fault] = report["faults"]
    assert (fault["rule"], fault["found"]) == ("balance", "7")
