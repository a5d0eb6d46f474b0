"""Expiry: pending orders that end at a time of their own."""

import pytest

from service.domain.order import OrderType
from service.domain.rejection import RejectCode
from tests.unit.domain.floor import SECOND, Floor, deal_of, kinds, order_of

BUY_LIMIT = OrderType.BUY_LIMIT


def test_it_ends_at_its_time_with_the_next_quote_of_any_symbol() -> None:
    floor = Floor()
    at = floor.now + 3 * SECOND
    order = floor.rest(BUY_LIMIT, 100_000, expires_at=at)
    assert floor.tick("USDJPY", 150_000, 150_000) == []
    assert floor.tick("USDJPY", 150_000, 150_000) == []
    (decision,) = floor.tick("USDJPY", 150_000, 150_000)
    assert kinds([decision]) == ["CANCELLED EXPIRED"]
    assert order_of(decision).order_id == order
    assert (decision.time, deal_of(decision).time) == (at, at)
    assert floor.desk.orders == {}


def test_it_ends_before_the_quote_that_comes_at_that_time_can_fire_it() -> None:
    floor = Floor()
    floor.rest(BUY_LIMIT, 110_000, expires_at=floor.now + SECOND)
    assert kinds(floor.tick("EURUSD", 110_000, 110_000)) == ["CANCELLED EXPIRED"]


def test_a_refused_quote_ends_nothing_but_the_clock_does() -> None:
    floor = Floor()
    floor.rest(BUY_LIMIT, 110_000, expires_at=floor.now + SECOND)
    floor.quote("EURUSD", 110_001, 110_000)
    assert len(floor.desk.orders) == 1
    assert floor.engine.expire(floor.now - 1) == []
    assert kinds(floor.engine.expire(floor.now)) == ["CANCELLED EXPIRED"]
    assert floor.engine.expire(floor.now) == []


def test_many_end_by_their_times_and_then_by_their_age() -> None:
    floor = Floor()
    lives = [3, 1, 2, 1]
    orders = [floor.rest(BUY_LIMIT, 100_000, expires_at=floor.now + n * SECOND) for n in lives]
    ended = floor.engine.expire(floor.now + 5 * SECOND)
    wanted = [orders[1], orders[3], orders[2], orders[0]]
    assert [order_of(decision).order_id for decision in ended] == wanted


def test_an_order_that_has_opened_stays() -> None:
    floor = Floor()
    floor.rest(OrderType.BUY_STOP, 110_000, expires_at=floor.now + 5 * SECOND)
    assert kinds(floor.tick("EURUSD", 110_000, 110_000)) == ["OPENED BUY_STOP"]
    assert floor.engine.expire(floor.now + 100 * SECOND) == []


def test_an_activated_stop_limit_still_expires() -> None:
    floor = Floor()
    at = floor.now + 5 * SECOND
    floor.rest(OrderType.BUY_STOP_LIMIT, 110_000, limit_price=109_000, expires_at=at)
    floor.tick("EURUSD", 110_000, 110_000)
    assert kinds(floor.engine.expire(at)) == ["CANCELLED EXPIRED"]


@pytest.mark.parametrize(("change", "ends_at"), [(9, 9), (2, 2), (None, None)])
def test_only_its_last_expiry_counts(change: int | None, ends_at: int | None) -> None:
    floor = Floor()
    floor.tick("EURUSD", 110_000, 110_000)
    start = floor.now
    order = order_of(floor.place(BUY_LIMIT, 100_000, expires_at=start + 5 * SECOND)).order_id
    floor.modify(order, expires_at=None if change is None else start + change * SECOND)
    ends = [n for n in range(1, 20) if floor.engine.expire(start + n * SECOND)]
    assert ends == ([] if ends_at is None else [ends_at])


def test_it_survives_a_restart() -> None:
    floor = Floor()
    floor.tick("EURUSD", 110_000, 110_000)
    at = floor.now + 5 * SECOND
    stored = order_of(floor.place(BUY_LIMIT, 100_000, expires_at=at))
    restarted = Floor()
    restarted.engine.load([stored])
    assert restarted.engine.expire(at - 1) == []
    assert kinds(restarted.engine.expire(at)) == ["CANCELLED EXPIRED"]


@pytest.mark.parametrize(
    ("order_type", "price", "later"),
    [(BUY_LIMIT, 100_000, 0), (BUY_LIMIT, 100_000, -1), (OrderType.BUY, None, 10)],
)
def test_what_is_refused(order_type: OrderType, price: int | None, later: int) -> None:
    floor = Floor()
    floor.tick("EURUSD", 110_000, 110_000)
    code = floor.refusal(lambda: floor.place(order_type, price, expires_at=floor.now + later))
    assert code is RejectCode.INVALID_EXPIRY
