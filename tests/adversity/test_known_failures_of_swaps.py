"""How swaps have failed in practice: charged twice, to some, or by the square of the volume.

Each test is named after the failure that it would have caught, and says how that came about. What
other tests catch already is listed in `tests/adversity/test_known_failures.py`.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from service.domain.decision import Decision
from service.domain.desk import Desk
from service.domain.order import Order, OrderType
from service.domain.swap import charge_swap, next_rollover, owe_swaps
from service.loops.requests import Author
from service.loops.rollover import Rollover, RolloverFailed
from tests.adversity.book import check_book, fetch
from tests.adversity.clients import close
from tests.adversity.shard import (
    EURUSD,
    LOT,
    Resting,
    Shard,
    open_small_book,
    terms_of,
    trading_shard,
)
from tests.unit.domain.floor import Floor, order_of

LIVE, DEMO = 1, 2  # account ids, in the groups plain and gold
AUTHOR = Author("7")
MANY = 1_001
SWAPS = "SELECT account_id, amount::text FROM ledger WHERE kind = 'SWAP' ORDER BY entry_id"


async def set_swap(shard: Shard, points: str) -> None:
    """Let both groups charge or pay so much a night for what is bought."""
    every_night = replace(EURUSD, triple_swap_weekday=None)
    await shard.administration.set_symbol(every_night, AUTHOR)
    for group, markup in (("plain", 0), ("gold", 7)):
        terms = replace(terms_of(group, markup), swap_long=Decimal(points))
        await shard.administration.set_terms(terms, AUTHOR)


def after_the_rollover() -> Callable[[], int]:
    """Return a clock that stands just behind the next rollover."""
    time_ns = next_rollover(time.time_ns()) + 1
    return lambda: time_ns


async def test_swap_charged_twice_a_day(shard: Shard) -> None:
    """A second run on the same day charged again, and so did a restart in between."""
    dsn, clock = shard.database.dsn, after_the_rollover()
    await set_swap(shard, "-250")
    orders = [await shard.place(account_id) for account_id in (LIVE, DEMO)]
    await shard.place(3, OrderType.SELL)  # what is sold pays nothing
    rollover = Rollover(shard.trading, clock)
    assert await rollover.run_once() == 2
    assert await rollover.run_once() == 0
    await shard.drained()
    async with trading_shard(dsn) as again:
        again.quote(110_000)
        assert await Rollover(again.trading, clock).run_once() == 0
        for order in orders:
            await close(again, order)
        await again.drained()
        assert await fetch(dsn, SWAPS) == [(LIVE, "-2.50"), (DEMO, "-2.50")]
        await check_book(dsn, again)


async def test_swap_charged_to_live_accounts_alone(shard: Shard) -> None:
    """Only the live orders were walked through: demo accounts showed what nobody would earn."""
    clock = after_the_rollover()
    await set_swap(shard, "120")
    for account_id in (LIVE, DEMO, 3, 4):
        await shard.place(account_id)
    await Rollover(shard.trading, clock).run_once()
    await shard.drained()
    assert await fetch(shard.database.dsn, SWAPS) == [(n, "1.20") for n in (LIVE, DEMO, 3, 4)]


async def test_one_failed_order_poisoning_the_swaps_of_all(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All swaps were one commit: what failed for one was charged to none, or again to all."""
    clock = after_the_rollover()
    await set_swap(shard, "-250")
    for account_id in (LIVE, DEMO, 3, 4):
        await shard.place(account_id)

    def fail_for_one(desk: Desk, order: Order) -> Decision | None:
        if order.order_id == 2:
            raise ZeroDivisionError("planted")
        return charge_swap(desk, order)

    monkeypatch.setattr("service.loops.rollover.charge_swap", fail_for_one)
    runs = Rollover(shard.trading, clock)
    with pytest.raises(RolloverFailed, match="1 accounts could not be charged"):
        await runs.run_once()
    await shard.drained()
    assert [account_id for account_id, _ in await fetch(shard.database.dsn, SWAPS)] == [1, 3, 4]
    monkeypatch.undo()
    assert await runs.run_once() == 1
    await shard.drained()
    assert [account_id for account_id, _ in await fetch(shard.database.dsn, SWAPS)] == [1, 3, 4, 2]
    await check_book(shard.database.dsn, shard)


async def test_more_than_100_accounts_to_be_charged(postgres_dsn: str) -> None:
    """Accounts were read with a limit of 100, and the rest held their positions for nothing."""
    clock = after_the_rollover()
    resting = [Resting(1 + n, OrderType.BUY_LIMIT, 110_100, volume=LOT) for n in range(MANY)]
    await open_small_book(postgres_dsn, MANY, resting)
    async with trading_shard(postgres_dsn) as shard:
        shard.trading.mark_rollover(time.time_ns())
        await set_swap(shard, "-2.5")
        shard.quote(110_000)
        assert await Rollover(shard.trading, clock).run_once() == MANY
        await shard.drained()
        expected = [(account_id, "-2.50") for account_id in range(1, MANY + 1)]
        assert await fetch(postgres_dsn, SWAPS) == expected
        await check_book(postgres_dsn, shard)


def test_swap_by_the_square_of_the_volume() -> None:
    """The volume was multiplied in twice: three lots paid nine times what one did."""
    floor = Floor()
    floor.set_symbol("EURUSD", triple_swap_weekday=None)
    floor.set_terms("market", "EURUSD", swap_long=Decimal("-2.5"), swap_short=Decimal("0.5"))
    floor.tick("EURUSD", 110_000, 110_010)
    for volume in (LOT // 100, LOT, 3 * LOT):
        floor.place(OrderType.BUY, volume=volume)
        floor.place(OrderType.SELL, volume=volume)
    owe_swaps(floor.desk, next_rollover(floor.now))
    decided = [charge_swap(floor.desk, each) for each in list(floor.desk.owing.values())]
    charged = [decision for decision in decided if decision is not None]
    # A point of one lot is a dollar; halves of a cent go to the even one.
    assert {order_of(each).order_id: each.postings[0].amount for each in charged} == {
        1: Decimal("-0.02"),
        3: Decimal("-2.50"),
        4: Decimal("0.50"),
        5: Decimal("-7.50"),
        6: Decimal("1.50"),
    }
    assert not floor.desk.owing
