"""Accounts divided into shards: each is traded by itself, and nobody sees to another's."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from service.domain.order import OrderStatus, OrderType
from service.domain.shard import AccountShard
from service.instruments import Instruments
from service.loops.reconciliation import Reconciliation
from service.storage.database import Database
from service.storage.lease import acquire, release, renew
from service.storage.outbox import Outbox
from service.storage.shard_leases import ShardLeases
from service.storage.shards import divide
from service.storage.views import OrderView
from tests.adversity.book import check_book, execute, fetch
from tests.adversity.shard import Resting, Shard, open_small_book, trading_shard
from tests.support import eventually

ACCOUNTS = 6
RESTING = [Resting(1 + number % ACCOUNTS, OrderType.BUY_LIMIT, 109_000) for number in range(12)]
EPOCHS = "SELECT shard, epoch FROM shard_leases ORDER BY shard"


@pytest.fixture
async def dsn(postgres_dsn: str) -> str:
    await open_small_book(postgres_dsn, ACCOUNTS, RESTING)
    return postgres_dsn


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


async def trading(stack: AsyncExitStack, dsn: str, shards: int) -> list[Shard]:
    """Trade all shards of a database, each quoted once."""
    found = [
        await stack.enter_async_context(
            trading_shard(dsn, holder=f"of {shards}", accounts=AccountShard(number, shards))
        )
        for number in range(shards)
    ]
    for shard in found:
        shard.quote(110_000)
    return found


async def place(shards: list[Shard], account_id: int) -> OrderView:
    event = await shards[account_id % len(shards)].place(account_id)
    assert event.order is not None
    return event.order


# The number of shards


async def test_a_database_begins_with_one_shard(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    assert await divide(connection, 1) == 1
    assert [tuple(row) for row in await connection.fetch(EPOCHS)] == [(0, 0)]


async def test_who_trades_a_shard_is_known_while_the_lease_lasts(
    connection: "asyncpg.Connection[asyncpg.Record]", dsn: str
) -> None:
    assert await divide(connection, 3) == 3
    assert await acquire(connection, 0, "one", 0) is not None
    held = await acquire(connection, 1, "two", 60)
    assert held is not None
    database = Database(dsn, Instruments())
    leases = ShardLeases(database)
    assert await leases.holders() == [None, "two", None]
    await release(connection, held)
    assert await leases.holders() == [None] * 3
    await database.close()


async def test_a_division_fences_all_former_owners_and_goes_on_above_their_ids(
    connection: "asyncpg.Connection[asyncpg.Record]", dsn: str
) -> None:
    former = await acquire(connection, 0, "one", 0)
    assert former is not None
    await execute(
        dsn,
        "UPDATE shard_leases SET last_decision = 40, last_tick = 7, rolled_until = 5",
        "UPDATE event_relay SET published_until = 30",
    )
    assert await divide(connection, 3) == 3
    assert not await renew(connection, former, 60)
    for number in range(3):
        lease = await acquire(connection, number, "next", 0)
        assert lease is not None
        assert lease.epoch > former.epoch
        assert (lease.last_decision, lease.last_tick) == (40, 7)
    relays = await fetch(dsn, "SELECT shard, published_until FROM event_relay ORDER BY shard")
    assert relays == [(0, 30), (1, 30), (2, 30)]
    assert await divide(connection, 1) == 1
    assert await fetch(dsn, "SELECT last_decision, rolled_until FROM shard_leases") == [(40, 5)]


async def test_what_is_traded_is_not_divided(
    connection: "asyncpg.Connection[asyncpg.Record]", dsn: str
) -> None:
    await divide(connection, 2)
    lease = await acquire(connection, 1, "one", 60)
    assert lease is not None
    assert await divide(connection, 4) == 2
    assert [shard for shard, _ in await fetch(dsn, EPOCHS)] == [0, 1]
    await release(connection, lease)
    assert await divide(connection, 4) == 4


async def test_a_process_of_another_number_waits_until_nobody_trades(dsn: str) -> None:
    async with trading_shard(dsn, holder="one", accounts=AccountShard(0, 2)) as one:
        async with trading_shard(
            dsn, holder="other", lease_life_s=1, lead=False, accounts=AccountShard(0, 3)
        ) as other:
            await eventually(lambda: bool(other.desk.markets))
            assert (one.trading.is_leading, other.trading.is_leading) == (True, False)
            await one.leadership.stop()
            await eventually(lambda: other.trading.is_leading)
        assert len(await fetch(dsn, EPOCHS)) == 3


# Trading


async def test_shards_trade_their_own_accounts_under_ids_of_their_own(dsn: str) -> None:
    async with AsyncExitStack() as stack:
        shards = await trading(stack, dsn, 3)
        assert [sorted(shard.desk.accounts) for shard in shards] == [[3, 6], [1, 4], [2, 5]]
        assert [len(shard.desk.orders) for shard in shards] == [4, 4, 4]
        placed = {each: await place(shards, each) for each in range(1, ACCOUNTS + 1)}
        for account_id, order in placed.items():
            assert order.order_id % 3 == account_id % 3
            assert order.order_id > len(RESTING)
        for shard in shards:
            shard.quote(108_900)
            await shard.drained()
    assert await fetch(dsn, "SELECT count(*) FROM orders WHERE status = 'PENDING'") == [(0,)]
    strangers = "SELECT count(*) FROM deals WHERE deal_id % 3 <> account_id % 3"
    assert await fetch(dsn, strangers) == [(0,)]
    for shard in shards:
        await check_book(dsn, shard)


async def test_nobody_misses_or_reconciles_what_is_another_shards(dsn: str) -> None:
    async with AsyncExitStack() as stack:
        one, other = await trading(stack, dsn, 2)
        # Crossed for both, and judged by one alone: the other's is not there to be missed.
        one.quote(108_900)
        await one.drained()
        assert all(order.status is OrderStatus.OPEN for order in one.desk.orders.values())
        for shard in (one, other):
            await shard.sweeps.run_once()
            assert shard.sweeps.missed == 0
            lap = Reconciliation(shard.database, shard.trading, shard.instruments)
            assert await lap.run_lap() == 0


async def test_each_shard_relays_its_own_events(dsn: str) -> None:
    async with AsyncExitStack() as stack:
        shards = await trading(stack, dsn, 2)
        for account_id in (1, 2, 3):
            await place(shards, account_id)
        relayed = {}
        for number, shard in enumerate(shards):
            outbox = Outbox(shard.database, AccountShard(number, 2))
            relayed[number] = [event.event_id for event in await outbox.page_after(0, 10)]
            await outbox.mark_published(relayed[number][-1])
            assert await outbox.published_until() == relayed[number][-1]
    assert relayed == {0: [2], 1: [1, 3]}


async def test_other_numbers_of_shards_go_on_with_the_same_book(dsn: str) -> None:
    highest = len(RESTING)
    for shards in (1, 3, 2, 1):
        async with AsyncExitStack() as stack:
            found = await trading(stack, dsn, shards)
            for account_id in range(1, ACCOUNTS + 1):
                order = await place(found, account_id)
                assert order.order_id > highest
            highest = max(each.desk.next_order_id - each.desk.id_step for each in found)
            for each in found:
                await each.drained()
                await each.leadership.stop()
    [(deals, distinct)] = await fetch(dsn, "SELECT count(*), count(DISTINCT deal_id) FROM deals")
    assert deals == distinct == 4 * ACCOUNTS
    await check_book(dsn)
