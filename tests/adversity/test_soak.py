"""Everything at once, at random: ten minutes of market time at full speed, nothing may be wrong.

`make soak` runs the same for ten minutes of wall time and judges the memory too, for which this is
too short: what a process takes at its start is still growing.
"""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from service.domain.desk import Desk
from service.domain.order import OrderType
from service.domain.watch import watch_all
from tests.soak.facts import differences, facts_of, missing_entries
from tests.soak.run import Plan, Soak
from tests.soak.solvency import insolvent
from tests.trading_desk import GOLD, NOW, make_desk, place, quote

LOT = 10_000


async def test_ten_minutes_of_market_with_everything_on(tmp_path: Path) -> None:
    plan = Plan(seed=1, seconds=600, part_s=200, by_market=True, is_memory_judged=False)
    summary = await Soak(plan, tmp_path).run()
    assert summary["faults"] == []
    assert summary["checkpoints"] == 3
    assert summary["ticks"] == 60_000


def traded() -> Desk:
    """Return a desk with a position of two lots and a pending order."""
    desk = make_desk()
    quote(desk, "EURUSD", 110_000, 110_010)
    place(desk, GOLD, "EURUSD", OrderType.BUY, 2 * LOT)
    place(desk, GOLD, "EURUSD", OrderType.BUY_LIMIT, LOT, 109_000)
    watch_all(desk)
    return desk


def richer(desk: Desk) -> None:
    desk.accounts[GOLD].balance += Decimal("0.01")


def called(desk: Desk) -> None:
    desk.accounts[GOLD].in_margin_call = True


def dearer(desk: Desk) -> None:
    next(iter(desk.orders.values())).stop_loss = 1


def forgetful(desk: Desk) -> None:
    desk.disarm(desk.orders.pop(max(desk.orders)))


def disarmed(desk: Desk) -> None:
    desk.markets["EURUSD"].ask_at_most.pop_crossed(0)


@pytest.mark.parametrize("change", [richer, called, dearer, forgetful, disarmed])
def test_the_soak_sees_what_differs(change: Callable[[Desk], None]) -> None:
    one, other = traded(), traded()
    assert differences(facts_of(one), facts_of(other)) == []
    assert missing_entries(one) == []
    change(other)
    assert differences(facts_of(one), facts_of(other))


def test_the_soak_sees_a_trigger_that_does_not_rest() -> None:
    desk = traded()
    disarmed(desk)
    assert missing_entries(desk) == ["order 2 does not rest at 109000 in EURUSD ask_at_most"]


def test_the_soak_sees_a_band_that_does_not_rest() -> None:
    desk = traded()
    desk.markets["EURUSD"].bid_at_most.pop_crossed(0)
    [missing] = missing_entries(desk)
    assert missing.startswith("band 1 does not rest at")


def test_the_soak_sees_who_should_have_been_called_and_stopped_out() -> None:
    desk = traded()
    assert insolvent(desk, NOW) == []
    quote(desk, "EURUSD", 106_000, 106_010)
    [not_called] = insolvent(desk, NOW)
    assert not_called.endswith("not called")
    quote(desk, "EURUSD", 105_000, 105_010)
    not_stopped_out, _ = insolvent(desk, NOW)
    assert not_stopped_out.endswith("not stopped out of [1]")
    desk.accounts[GOLD].in_margin_call = True
    quote(desk, "EURUSD", 110_000, 110_010)
    [still_called] = insolvent(desk, NOW)
    assert still_called.endswith("still called")
