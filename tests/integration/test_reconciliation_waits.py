"""Reconciliation that has to wait for a connection compares what memory holds when it gets one."""

import asyncio
from contextlib import AsyncExitStack

from service.domain.order import OrderType
from service.loops.reconciliation import Reconciliation
from service.storage.database import READ_POOL_SIZE
from telemetry import catalogue
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
