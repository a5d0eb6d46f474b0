"""How orders have been executed twice.

Each test is named after the failure that it would have caught, and says how that came about. What
other tests catch already is listed in `tests/adversity/test_known_failures.py`.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import asyncpg
import pytest

from service.domain.order import OrderType
from service.domain.rejection import Rejected
from service.loops.answers import Withdrawn
from service.storage.views import EventView
from service.verify.fault import Rule
from tests.adversity.book import check_book, execute, fetch, locked_out
from tests.adversity.clients import cancel, close, id_of, sweep
from tests.adversity.shard import Shard

CLOSED_BY_HAND = (Rule.DEALS_OF_ORDER, Rule.FILL)

LIVE = 1  # an account id
DEALS = "SELECT order_id, event, reason FROM deals WHERE order_id = any($1) ORDER BY deal_id"


async def tick(shard: Shard, bid: int) -> None:
    shard.quote(bid)


async def all_at_once(shard: Shard, bid: int, asked: list[Coroutine[Any, Any, EventView]]) -> int:
    """Let clients ask, quotes arrive and sweeps run in any order; return how many got their way."""
    quoting = [tick(shard, bid) for _ in range(8)]
    sweeping = [shard.sweeps.run_once() for _ in range(3)]
    # The first quote comes when about half of the clients have asked.
    random.Random(1).shuffle(asked)
    half = len(asked) // 2
    told = await asyncio.gather(
        *asked[:half], *quoting, *sweeping, *asked[half:], return_exceptions=True
    )
    await sweep(shard)
    refused = [each for each in told if isinstance(each, BaseException)]
    assert all(isinstance(each, Rejected) for each in refused), refused
    assert shard.sweeps.missed == 0
    return sum(isinstance(each, EventView) for each in told)


async def test_double_execution_of_a_pending_order(shard: Shard) -> None:
    """Every socket checked the same order on every message, and none looked whether it was open."""
    orders = [await shard.place(1 + n % 4, OrderType.BUY_LIMIT, 109_500) for n in range(30)]
    cancelled = await all_at_once(
        shard, 109_400, [cancel(shard, each) for each in orders for _ in range(2)]
    )
    deals = await fetch(shard.database.dsn, DEALS, [id_of(each) for each in orders])
    assert Counter(order_id for order_id, *_ in deals) == {id_of(each): 1 for each in orders}
    ends = Counter(event for _, event, _ in deals)
    assert (ends["CANCEL"], ends["OPEN"]) == (cancelled, 30 - cancelled)
    assert 0 < cancelled < 30
    await check_book(shard.database.dsn, shard)


async def test_double_execution_of_a_close(shard: Shard) -> None:
    """A stop loss and its owner closed the same position: the profit was credited twice."""
    orders = [await shard.place(1 + n % 4, stop_loss=109_500) for n in range(30)]
    closed = await all_at_once(
        shard, 109_400, [close(shard, each) for each in orders for _ in range(2)]
    )
    deals = await fetch(shard.database.dsn, DEALS, [id_of(each) for each in orders])
    closes = [(order_id, reason) for order_id, event, reason in deals if event == "CLOSE"]
    assert Counter(order_id for order_id, _ in closes) == {id_of(each): 1 for each in orders}
    by_reason = Counter(reason for _, reason in closes)
    assert by_reason == {"CLIENT": closed, "STOP_LOSS": 30 - closed}
    assert 0 < closed < 30
    await check_book(shard.database.dsn, shard)


async def test_double_execution_of_a_close_and_a_stop_out(shard: Shard) -> None:
    """The cut-off of an account took no lock: what its owner closed meanwhile was paid twice."""
    for account_id in (1, 2, 3, 4):
        await shard.fund(account_id, "-999850.00")
    orders = [await shard.place(1 + n % 4) for n in range(40)]
    closed = await all_at_once(
        shard, 100_000, [close(shard, each) for each in orders for _ in range(2)]
    )
    deals = await fetch(shard.database.dsn, DEALS, [id_of(each) for each in orders])
    closes = [(order_id, reason) for order_id, event, reason in deals if event == "CLOSE"]
    assert max(Counter(order_id for order_id, _ in closes).values()) == 1
    by_reason = Counter(reason for _, reason in closes)
    assert by_reason["CLIENT"] == closed > 0
    assert by_reason["STOP_OUT"] > 0
    await check_book(shard.database.dsn, shard)


async def test_double_execution_between_check_and_write(shard: Shard) -> None:
    """The status was looked at before the lock was taken, and not written on condition of it."""
    dsn = shard.database.dsn
    order = await shard.place(LIVE)
    holder = await asyncpg.connect(dsn)
    try:
        async with holder.transaction():
            await holder.execute("SELECT FROM shard_leases FOR UPDATE")
            closing = asyncio.create_task(close(shard, order))
            await locked_out(dsn)
            await execute(
                dsn,
                "UPDATE orders SET status = 'CLOSED', reason = 'CLIENT', close_price = 110000, "
                f"close_time = 1, profit = 0 WHERE order_id = {id_of(order)}",
                f"UPDATE accounts SET margin = 0 WHERE account_id = {LIVE}",
            )
        with pytest.raises(Withdrawn):
            await closing
    finally:
        await holder.close()
    await shard.drained()
    assert await fetch(dsn, "SELECT event FROM deals") == [("OPEN",)]
    assert await fetch(dsn, "SELECT kind FROM ledger WHERE order_id IS NOT NULL") == []
    await check_book(dsn, shard, but=CLOSED_BY_HAND)
