"""Reconciliation that has to wait compares what memory and database hold when it need not any more.

For a connection, or for triggers that are still stored as of older settings.
"""

import asyncio
from contextlib import AsyncExitStack

from service.domain.order import OrderType
from service.domain.shard import AccountShard
from service.loops.reconciliation import Reconciliation
from service.storage.database import READ_POOL_SIZE
from telemetry import catalogue
from tests.adversity.book import execute
from tests.adversity.shard import open_small_book, trading_shard


async def test_what_happens_while_it_waits_is_no_difference(postgres_dsn: str) -> None:
    await open_small_book(postgres_dsn, 2)
    async with trading_shard(postgres_dsn) as shard:
        shard.quote(110_000)
        placed = await shard.place(1, OrderType.BUY_LIMIT, 109_000)
        assert placed.order is not None
        order_id = placed.order.order_id
        reconciliation = Reconciliation(shard.database, shard.trading, shard.instruments)
        async with AsyncExitStack() as busy:
            for _ in range(READ_POOL_SIZE):
                await busy.enter_async_context(shard.database.read("ping"))
            comparing = asyncio.create_task(reconciliation.run_lap())
            for _ in range(10):
                await asyncio.sleep(0)
            assert not comparing.done()
            await shard.trading.command(
                1, None, lambda commands, now: commands.cancel(1, order_id, now)
            )
            await shard.place(1, OrderType.BUY_LIMIT, 108_000)
        assert await comparing == 0
        kinds = shard.instruments.metrics.counter(catalogue.RECONCILED_ORDERS).children
        assert not any(each.value for each in kinds.values())


async def test_a_new_leader_with_newer_settings_than_its_stored_triggers_has_no_difference(
    postgres_dsn: str,
) -> None:
    await open_small_book(postgres_dsn, 4)
    accounts = AccountShard(1, 2)
    async with trading_shard(postgres_dsn, accounts=accounts) as shard:
        shard.quote(110_000)
        await shard.place(1, OrderType.BUY_LIMIT, 109_000)
    # By now shard 0 has stored another markup, which nobody has taken over in shard 1.
    await execute(
        postgres_dsn,
        "UPDATE group_symbols SET spread = 7 WHERE group_name = 'plain'",
        "UPDATE shard_leases SET settings_version = settings_version + 1 WHERE shard = 0",
    )
    async with trading_shard(postgres_dsn, accounts=accounts) as shard:
        reconciliation = Reconciliation(shard.database, shard.trading, shard.instruments)
        assert await reconciliation.run_once() == 0
        await execute(
            postgres_dsn, "UPDATE shard_leases SET settings_version = settings_version + 1"
        )
        assert await reconciliation.run_once() == 1  # as if they had been taken over, and were not
