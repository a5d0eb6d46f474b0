"""The writer against a real PostgreSQL: every decision is applied once, in order, or taken back."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal

import asyncpg
import pytest

from service.domain.commands import CommandDesk
from service.domain.order import OrderType
from service.loops.answers import Withdrawn
from service.storage import writer
from service.storage.batch import COMMIT_STATEMENT, commit_arguments, encode
from service.verify.fault import Rule
from telemetry import catalogue
from tests.adversity.book import check_book, execute, fetch, locked_out
from tests.adversity.interrupted_replay import COMMITTED_REPLY, EVENT
from tests.adversity.shard import Shard, open_small_book, opened, trading_shard
from tests.faultproxy import FaultProxy, Moment
from tests.integration.crowd import ACCOUNTS, CROWD, crowded, fire
from tests.proxied import through
from tests.support import eventually

CANCELLED_BY_HAND = (Rule.DEALS_OF_ORDER, Rule.TRIGGER)


@pytest.fixture
async def shard(postgres_dsn: str) -> AsyncIterator[Shard]:
    async with crowded(postgres_dsn) as shard:
        yield shard


# Lost connections


@pytest.mark.parametrize("moment", Moment)
async def test_a_connection_lost_in_a_commit_applies_the_batch_once(
    moment: Moment, postgres_dsn: str, postgres_proxy: FaultProxy
) -> None:
    await open_small_book(postgres_dsn, ACCOUNTS, CROWD)
    async with trading_shard(through(postgres_proxy, postgres_dsn)) as shard:
        shard.quote(110_100)
        trap = postgres_proxy.arm(EVENT, moment, reply=COMMITTED_REPLY)
        fire(shard)
        await trap.sprung()
        written = await fetch(postgres_dsn, "SELECT count(*) FROM deals")
        assert written == [(0 if moment is Moment.BEFORE_FORWARD else 300,)]
        trap.cut()
        await shard.drained()
        assert shard.decisions("committed") == 300
        await check_book(postgres_dsn, shard)


async def test_a_batch_that_arrives_after_its_repetition_changes_nothing(
    postgres_dsn: str, postgres_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "COMMIT_TIMEOUT_S", 0.5)
    await open_small_book(postgres_dsn, ACCOUNTS, CROWD)
    async with trading_shard(through(postgres_proxy, postgres_dsn)) as shard:
        shard.quote(110_100)
        trap = postgres_proxy.arm(EVENT, Moment.BEFORE_FORWARD)
        fire(shard)
        await trap.sprung()
        await shard.drained()  # by another connection, after the time-out
        connections = postgres_proxy.connections
        trap.release()
        await eventually(lambda: postgres_proxy.connections < connections)
        await shard.fund(1, "5.00")
        await check_book(postgres_dsn, shard)
        assert shard.decisions("fenced") == 0


async def test_of_the_same_batch_sent_twice_at_once_one_is_applied(shard: Shard) -> None:
    dsn = shard.database.dsn
    fire(shard)
    await shard.drained()
    [(epoch, last)] = await fetch(dsn, "SELECT epoch, last_batch FROM shard_leases")
    arguments = encode_fund(shard, epoch, last)
    holder = await asyncpg.connect(dsn)
    one, other = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    try:
        async with holder.transaction():
            await holder.execute("SELECT FROM shard_leases FOR UPDATE")
            sent = [
                asyncio.create_task(connection.fetchval(COMMIT_STATEMENT, *arguments))
                for connection in (one, other)
            ]
            await locked_out(dsn, 2)
        assert sorted(await asyncio.gather(*sent)) == ["committed", "fenced"]
        assert await one.fetchval(COMMIT_STATEMENT, *arguments) == "fenced"
    finally:
        for connection in (holder, one, other):
            await connection.close()
    await check_book(dsn, but=(Rule.EVENT,))  # its event says nothing


def encode_fund(shard: Shard, epoch: int, last: uuid.UUID) -> list[object]:
    """Return the arguments of a batch that deposits, decided on the shard's memory."""
    decision = CommandDesk(shard.desk, shard.trading.engine.guard).fund(1, Decimal("1.00"), 1)
    rows = encode([decision], ["{}"])
    return commit_arguments(rows, decision, epoch=epoch, previous_batch=last, batch=uuid.uuid4())


# Decisions that fail alone


async def test_a_decision_that_fails_alone_leaves_the_batch_and_takes_its_account_back(
    shard: Shard,
) -> None:
    dsn = shard.database.dsn
    await execute(
        dsn, "UPDATE orders SET status = 'CANCELLED', reason = 'CLIENT' WHERE order_id = 47"
    )
    fire(shard)
    await shard.drained()
    assert shard.decisions("failed") == 1
    metrics = shard.instruments.metrics
    assert metrics.counter(catalogue.WRITE_CONFLICTS).child().value == 1
    refused = metrics.counter(catalogue.STORE_ERRORS).child("postgresql", "commit", "refused")
    assert refused.value > 1, "each commit that it was in, until it stood alone"
    assert shard.decisions("withdrawn") == 3  # 48, 49, 50: decided on what 47 left behind
    assert shard.decisions("committed") == 296 + 3  # the account is judged anew
    assert 47 not in shard.desk.orders
    assert opened(shard) == [n for n in range(1, 301) if n != 47]
    await check_book(dsn, shard, but=CANCELLED_BY_HAND)


async def test_an_order_that_cannot_be_stored_rests_until_it_can(shard: Shard) -> None:
    dsn = shard.database.dsn
    await execute(
        dsn,
        "ALTER TABLE orders ADD CONSTRAINT planted CHECK (order_id <> 48 OR status = 'PENDING')",
    )
    for failures in (1, 2, 3):
        fire(shard)
        await shard.drained()
        assert shard.decisions("failed") == failures
        assert not shard.instruments.metrics.counter(catalogue.WRITE_CONFLICTS).child().value
        await check_book(dsn, shard)
    assert opened(shard) == [n for n in range(1, 301) if n != 48]
    await execute(dsn, "ALTER TABLE orders DROP CONSTRAINT planted")
    fire(shard)
    await shard.drained()
    assert opened(shard) == list(range(1, 301))
    await check_book(dsn, shard)


async def test_failures_all_over_a_batch_are_each_taken_out(shard: Shard) -> None:
    dsn = shard.database.dsn
    await execute(
        dsn,
        "ALTER TABLE orders ADD CONSTRAINT planted "
        "CHECK (order_id % 50 <> 0 OR status = 'PENDING')",  # the last of accounts 10, 20, ...
    )
    fire(shard)
    await shard.drained()
    assert shard.decisions("failed") == 6
    assert shard.decisions("withdrawn") == 0
    assert opened(shard) == [n for n in range(1, 301) if n % 50]
    await check_book(dsn, shard)


async def test_commands_behind_a_failed_decision_are_told(shard: Shard) -> None:
    dsn = shard.database.dsn
    await execute(
        dsn, "UPDATE orders SET status = 'CANCELLED', reason = 'CLIENT' WHERE order_id = 50"
    )
    fire(shard)
    told = await asyncio.gather(
        shard.fund(10, "7.00", key="k"),
        shard.place(10, OrderType.BUY_LIMIT, 100_000),
        shard.fund(11, "7.00"),
        return_exceptions=True,
    )
    assert isinstance(told[0], Withdrawn)
    assert isinstance(told[1], Withdrawn)
    assert not isinstance(told[2], BaseException)
    await check_book(dsn, shard, but=CANCELLED_BY_HAND)
    again = await shard.fund(10, "7.00", key="k")  # nothing was stored under the key
    assert again.sequence == shard.desk.accounts[10].sequence
    await check_book(dsn, shard, but=CANCELLED_BY_HAND)


async def test_what_no_database_can_store_is_taken_back(shard: Shard) -> None:
    """A NUL in a text gets as far as the server: it must fail alone, and only once."""
    with pytest.raises(Withdrawn):
        await shard.place(3, OrderType.BUY_LIMIT, 100_000, client_order_id="a\0b")
    assert shard.decisions("failed") == 1
    await check_book(shard.database.dsn, shard)
    await shard.place(3, OrderType.BUY_LIMIT, 100_000, client_order_id="ab")
    await check_book(shard.database.dsn, shard)


async def test_a_client_order_id_used_before_is_taken_back(shard: Shard) -> None:
    await shard.place(3, OrderType.BUY_LIMIT, 100_000, client_order_id="mine")
    with pytest.raises(Withdrawn):
        await shard.place(3, OrderType.BUY_LIMIT, 100_000, client_order_id="mine")
    await shard.place(4, OrderType.BUY_LIMIT, 100_000, client_order_id="mine")
    await check_book(shard.database.dsn, shard)


async def test_an_account_changed_behind_its_back_is_taken_as_stored(shard: Shard) -> None:
    dsn = shard.database.dsn
    await execute(
        dsn,
        "UPDATE accounts SET balance = balance + 5 WHERE account_id = 10",
        "INSERT INTO ledger (account_id, kind, amount, balance_after, time) "
        "VALUES (10, 'DEPOSIT', 5, 1000005, 1)",
    )
    fire(shard)
    await shard.drained()
    assert shard.decisions("failed") == 1
    assert shard.decisions("withdrawn") == 4
    fire(shard)
    await shard.drained()
    assert opened(shard) == list(range(1, 301))
    await check_book(dsn, shard)
