"""Trailing stops: a stop loss that follows the closing price, and never goes back."""

import pytest

from service.domain.instrument import TradingState
from service.domain.order import OrderType
from service.domain.rejection import RejectCode
from tests.unit.domain.floor import Floor, deal_of, kinds, order_of

BUY, SELL = OrderType.BUY, OrderType.SELL


def opened(
    order_type: OrderType, stop_loss: int | None = None, distance: int | None = 100
) -> tuple[Floor, int, int | None]:
    """Open a position at 1.10000, bid = ask, and return its order and its stop loss."""
    floor = Floor()
    floor.tick("EURUSD", 110_000, 110_000)
    state = order_of(floor.place(order_type, None, stop_loss, trailing_distance=distance))
    return floor, state.order_id, state.stop_loss


@pytest.mark.parametrize(
    ("order_type", "given", "stop_loss"),
    [
        (BUY, None, 109_900),
        (BUY, 109_800, 109_900),
        (BUY, 109_950, 109_950),
        (SELL, None, 110_100),
        (SELL, 110_200, 110_100),
        (SELL, 110_050, 110_050),
    ],
)
def test_it_opens_with_the_nearer_of_the_given_stop_loss_and_its_distance(
    order_type: OrderType, given: int | None, stop_loss: int
) -> None:
    assert opened(order_type, given)[2] == stop_loss


@pytest.mark.parametrize(
    ("order_type", "ticks"),
    [
        # bid and ask, and the stop loss after them
        (BUY, [(110_050, 110_090, 109_950), (110_000, 110_000, None), (110_051, 110_060, 109_951)]),
        (
            SELL,
            [(109_900, 109_950, 110_050), (110_000, 110_000, None), (109_900, 109_949, 110_049)],
        ),
    ],
)
def test_it_follows_the_closing_price_and_never_goes_back(
    order_type: OrderType, ticks: list[tuple[int, int, int | None]]
) -> None:
    floor, order, last = opened(order_type)
    for bid, ask, stop_loss in ticks:
        decisions = floor.tick("EURUSD", bid, ask)
        if stop_loss is None:
            assert decisions == []
        else:
            (trailed,) = decisions
            assert kinds(decisions) == ["TRAILED"]
            assert (trailed.deal, trailed.postings, trailed.time) == (None, (), floor.now)
            assert order_of(trailed).stop_loss == stop_loss
            last = stop_loss
        assert floor.desk.orders[order].stop_loss == last


@pytest.mark.parametrize(
    ("order_type", "up", "short_of", "reaching"),
    [(BUY, 110_500, 110_401, 110_400), (SELL, 109_500, 109_599, 109_600)],
)
def test_it_closes_where_the_price_turned_by_its_distance(
    order_type: OrderType, up: int, short_of: int, reaching: int
) -> None:
    floor, _, _ = opened(order_type)
    assert kinds(floor.tick("EURUSD", up, up)) == ["TRAILED"]
    assert floor.tick("EURUSD", short_of, short_of) == []
    decisions = floor.tick("EURUSD", reaching, reaching)
    assert kinds(decisions) == ["CLOSED STOP_LOSS"]
    assert deal_of(decisions[0]).price == reaching


def test_it_follows_the_price_of_its_own_group() -> None:
    floor = Floor()
    floor.set_terms("market", "EURUSD", markup=5)
    floor.tick("EURUSD", 110_000, 110_000)
    long = order_of(floor.place(BUY, trailing_distance=100))
    short = order_of(floor.place(SELL, trailing_distance=100))
    assert (long.stop_loss, short.stop_loss) == (109_998 - 100, 110_003 + 100)


def test_it_rests_with_a_pending_order_and_begins_where_that_opens() -> None:
    floor = Floor()
    order = floor.rest(OrderType.BUY_STOP, 110_000, trailing_distance=50)
    (decision,) = floor.tick("EURUSD", 110_000, 110_020)
    assert (order_of(decision).order_id, order_of(decision).stop_loss) == (order, 109_950)


def test_set_on_a_position_it_moves_the_stop_loss_at_once_and_taken_away_it_stays() -> None:
    floor, order, stop_loss = opened(BUY, 109_500, None)
    assert stop_loss == 109_500
    assert order_of(floor.modify(order, trailing_distance=200)).stop_loss == 109_800
    assert kinds(floor.tick("EURUSD", 110_100, 110_100)) == ["TRAILED"]
    assert order_of(floor.modify(order, trailing_distance=None)).stop_loss == 109_900
    assert floor.tick("EURUSD", 111_000, 111_000) == []
    assert floor.desk.orders[order].stop_loss == 109_900


def test_its_level_survives_a_restart() -> None:
    floor, order, _ = opened(BUY)
    (trailed,) = floor.tick("EURUSD", 110_500, 110_500)
    restarted = Floor()
    restarted.now, restarted.desk.tick = floor.now, floor.desk.tick
    restarted.engine.load([order_of(trailed)])
    restarted.engine.begin()
    assert restarted.tick("EURUSD", 110_450, 110_450) == []
    assert restarted.desk.orders[order].stop_loss == 110_400
    (moved,) = restarted.tick("EURUSD", 110_501, 110_501)
    assert order_of(moved).stop_loss == 110_401


def test_a_stop_loss_of_zero_or_less_is_none() -> None:
    assert opened(BUY, None, 110_000)[2] is None
    assert opened(BUY, None, 109_999)[2] == 1


def test_a_short_without_a_stop_loss_begins_to_trail_again() -> None:
    floor, order, _ = opened(SELL, None, None)
    floor.modify(order, trailing_distance=100)
    assert floor.desk.orders[order].stop_loss == 110_100


def test_it_waits_while_nothing_may_be_closed() -> None:
    floor, order, _ = opened(BUY)
    floor.set_symbol("EURUSD", trading_state=TradingState.HALTED)
    assert floor.tick("EURUSD", 110_500, 110_500) == []
    floor.set_symbol("EURUSD", trading_state=TradingState.CLOSE_ONLY)
    assert kinds(floor.tick("EURUSD", 110_300, 110_300)) == ["TRAILED"]
    assert floor.desk.orders[order].stop_loss == 110_200


@pytest.mark.parametrize("distance", [0, -1])
def test_a_distance_of_nothing_is_refused(distance: int) -> None:
    floor, order, _ = opened(BUY)
    code = floor.refusal(lambda: floor.place(BUY, trailing_distance=distance))
    assert code is RejectCode.INVALID_TRAILING_DISTANCE
    code = floor.refusal(lambda: floor.modify(order, trailing_distance=distance))
    assert code is RejectCode.INVALID_TRAILING_DISTANCE
