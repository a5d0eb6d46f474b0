"""How orders have triggered wrongly: at another price, unprotected, again and again, or never.

Each test is named after the failure that it would have caught, and says how that came about. What
other tests catch already is listed in `tests/adversity/test_known_failures.py`.
"""

import pytest

from service.domain.decision import Decision
from service.domain.engine import Engine
from service.domain.order import OrderType
from service.domain.rejection import RejectCode, Rejected
from service.loops.sweep import SweepFailed
from tests.adversity.book import check_book, execute, fetch
from tests.adversity.clients import cancel, close, id_of, modify, sweep
from tests.adversity.shard import (
    SYMBOL,
    Resting,
    Shard,
    open_small_book,
    opened,
    trading_shard,
)

LIVE, DEMO = 1, 2  # account ids; the demo one has a markup of 7 points


async def test_modified_order_triggering_at_its_old_price(shard: Shard) -> None:
    """The old price stayed where triggers were looked up, for what was there was not replaced."""
    dsn = shard.database.dsn
    orders = [await shard.place(account, OrderType.BUY_LIMIT, 109_500) for account in (LIVE, DEMO)]
    for order in orders:
        await modify(shard, order, price=109_000)
    for bid in (109_400, 109_300, 110_000, 109_100):
        shard.quote(bid)
        await sweep(shard)
    assert opened(shard) == []
    async with trading_shard(dsn) as again:  # the same holder takes over
        again.quote(109_400)
        await sweep(again)
        assert opened(again) == []
        again.quote(108_900)
        await again.drained()
        assert opened(again) == [id_of(each) for each in orders]
        await check_book(dsn, again)


async def test_executed_and_cancelled_orders_tried_again(shard: Shard) -> None:
    """They were removed under another key than they had been stored, and tried every second."""
    dsn = shard.database.dsn
    for account in (LIVE, DEMO):
        await shard.place(account, OrderType.BUY_LIMIT, 109_500, stop_loss=109_000)
        await cancel(shard, await shard.place(account, OrderType.SELL_LIMIT, 110_500))
    for bid in (109_400, 108_900):  # fills, then stops out
        shard.quote(bid)
        await shard.drained()
    assert len(await fetch(dsn, "SELECT FROM deals")) == 6
    await stays_at_rest(shard)
    async with trading_shard(dsn) as again:  # the same holder takes over
        await stays_at_rest(again)
    await check_book(dsn)


async def stays_at_rest(shard: Shard) -> None:
    """Assert that nothing more is decided, wherever the price goes."""
    decided = shard.desk.next_decision_id
    for bid in (110_600, 109_400, 108_900, 110_600):
        shard.quote(bid)
        await sweep(shard)
    assert shard.desk.next_decision_id == decided
    assert shard.desk.orders == {}
    assert shard.sweeps.missed == 0


async def test_another_groups_price(shard: Shard) -> None:
    """Orders of all groups rested in one list: each group's price filled all that it crossed."""
    dsn = shard.database.dsn
    # The groups' prices to buy are 1.09510 and 1.09514: bid + 10, and half of 7 points rounded up.
    orders = [await shard.place(account, OrderType.BUY_LIMIT, 109_510) for account in (LIVE, DEMO)]
    shard.quote(109_500)
    await sweep(shard)
    assert opened(shard) == [id_of(orders[0])]
    shard.quote(109_497)
    await sweep(shard)
    assert opened(shard) == [id_of(orders[0])]
    shard.quote(109_496)
    await sweep(shard)
    assert opened(shard) == [id_of(each) for each in orders]
    assert await fetch(dsn, "SELECT price FROM deals ORDER BY deal_id") == [(109_510,), (109_510,)]
    await check_book(dsn, shard)


async def test_stop_loss_and_take_profit_dropped_at_trigger(shard: Shard) -> None:
    """A pending order lost both as it opened, and the position went unprotected."""
    dsn = shard.database.dsn
    for account in (LIVE, DEMO):
        await shard.place(
            account, OrderType.BUY_LIMIT, 109_500, stop_loss=109_000, take_profit=112_000
        )
        await shard.place(
            account, OrderType.SELL_LIMIT, 110_500, stop_loss=113_000, take_profit=108_000
        )
    for bid in (109_400, 110_600):
        shard.quote(bid)
    await shard.drained()
    stored = (
        "SELECT order_type, stop_loss, take_profit FROM orders WHERE status = 'OPEN' ORDER BY 1"
    )
    assert await fetch(dsn, stored) == [
        *[("BUY_LIMIT", 109_000, 112_000)] * 2,
        *[("SELL_LIMIT", 113_000, 108_000)] * 2,
    ]
    async with trading_shard(dsn) as again:
        again.quote(108_900)
        again.quote(107_900)
        await again.drained()
        assert opened(again) == []
        reasons = "SELECT reason, count(*) FROM deals WHERE event = 'CLOSE' GROUP BY 1 ORDER BY 1"
        assert await fetch(dsn, reasons) == [("STOP_LOSS", 2), ("TAKE_PROFIT", 2)]
        await check_book(dsn, again)


async def test_trigger_queue_discarded_after_fifty_errors(postgres_dsn: str) -> None:
    """After fifty errors in a row the queue of triggers was emptied, with those not yet tried."""
    crowd = [Resting(1 + n, OrderType.BUY_LIMIT, 109_500) for n in range(80)]
    await open_small_book(postgres_dsn, 80, crowd)
    async with trading_shard(postgres_dsn) as shard:
        planted = "CHECK (order_id > 60 OR status = 'PENDING')"
        await execute(postgres_dsn, f"ALTER TABLE orders ADD CONSTRAINT planted {planted}")
        shard.quote(110_000)
        shard.quote(109_400)
        await shard.drained()
        assert shard.decisions("failed") == 60
        assert opened(shard) == list(range(61, 81))
        await execute(postgres_dsn, "ALTER TABLE orders DROP CONSTRAINT planted")
        shard.quote(109_400)
        await shard.drained()
        assert opened(shard) == list(range(1, 81))
        await check_book(postgres_dsn, shard)


async def test_one_failed_order_poisoning_a_sweep(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One session served a whole pass: after one failed flush every later order failed as well."""
    orders = [await shard.place(1 + n % 4, OrderType.BUY_LIMIT, 109_500) for n in range(12)]
    bad, judge = id_of(orders[3]), Engine.judge_order

    def fail_for_one(engine: Engine, order_id: int) -> Decision | None:
        if order_id == bad:
            raise NameError("planted")
        return judge(engine, order_id)

    shard.desk.markets[SYMBOL].ask_at_most.pop_crossed(-(10**9))  # lose all triggers
    shard.quote(109_400)
    assert opened(shard) == []
    monkeypatch.setattr(Engine, "judge_order", fail_for_one)
    with pytest.raises(SweepFailed, match="1 orders could not be judged"):
        await sweep(shard)
    await shard.drained()
    assert {id_of(each) for each in orders} - {bad} <= set(opened(shard))
    assert shard.sweeps.missed == 11
    monkeypatch.undo()
    shard.quote(109_400)
    await sweep(shard)
    assert opened(shard) == [id_of(each) for each in orders]
    await check_book(shard.database.dsn, shard)


async def test_close_of_what_was_never_open(shard: Shard) -> None:
    """A close was taken for any order there was, pending ones too, at a price the client named."""
    pending = await shard.place(LIVE, OrderType.BUY_LIMIT, 109_500)
    with pytest.raises(Rejected) as refused:
        await close(shard, pending)
    assert refused.value.code is RejectCode.ORDER_NOT_OPEN
    await check_book(shard.database.dsn, shard)
