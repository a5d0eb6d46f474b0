"""An account whose rules raise is left alone; nobody else is, and nothing of it is dealt."""

from decimal import Decimal

import pytest

from service.domain.dealing import close_order
from service.domain.decision import Decision
from service.domain.desk import Desk
from service.domain.order import CloseReason, Order, OrderType
from service.domain.swap import charge_swap, owe_swaps
from tests.unit.domain.floor import Floor, order_of

BUY = OrderType.BUY
DAY = 24 * 3600 * 1_000_000_000


def fail_for(order_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one order's closing raise after it has changed something."""

    def close(desk: Desk, order: Order, reason: CloseReason, time: int) -> Decision | None:
        if order.order_id == order_id:
            order.account.balance += 1
            raise RuntimeError("planted")
        return close_order(desk, order, reason, time)

    monkeypatch.setattr("service.domain.judgement.close_order", close)


def closed_by(floor: Floor, points: int) -> list[int]:
    return [order_of(each).order_id for each in floor.tick("EURUSD", points, points)]


def test_what_follows_on_the_tick_spares_the_account_that_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    floor = Floor()
    floor.add_account(3, balance="1000000")
    floor.tick("EURUSD", 110_000, 110_000)
    mine = [order_of(floor.place(BUY, stop_loss=109_000)).order_id for _ in range(3)]
    other = order_of(floor.place(BUY, account=3, stop_loss=109_000)).order_id
    fail_for(mine[1], monkeypatch)
    assert closed_by(floor, 108_000) == [mine[0], other]
    assert list(floor.desk.faults) == [1]
    assert floor.desk.faults[1].order_id == mine[1]
    assert closed_by(floor, 107_000) == []


def test_no_swap_is_charged_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    floor = Floor()
    floor.tick("EURUSD", 110_000, 110_000)
    order = floor.desk.orders[order_of(floor.place(BUY, stop_loss=109_000)).order_id]
    floor.set_terms("market", "EURUSD", swap_long=Decimal("-7.3"))
    fail_for(order.order_id, monkeypatch)
    assert closed_by(floor, 108_000) == []
    owe_swaps(floor.desk, floor.now + 3 * DAY)
    assert charge_swap(floor.desk, order) is None
    assert order.order_id in floor.desk.owing


def test_expiries_that_ended_early_do_not_pile_up() -> None:
    floor = Floor()
    floor.tick("EURUSD", 110_000, 110_000)
    for number in range(1_000):
        placed = floor.place(OrderType.BUY_LIMIT, 100_000, expires_at=floor.now + DAY + number)
        floor.commands.cancel(1, order_of(placed).order_id, floor.now)
    assert len(floor.desk.expiries) < 200
