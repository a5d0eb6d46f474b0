"""Stop-limit orders: a stop price that turns them into a limit order."""

import pytest

from service.domain.instrument import TradingState
from service.domain.order import OrderType
from service.domain.rejection import RejectCode
from tests.unit.domain.floor import Floor, deal_of, kinds, order_of

BUY, SELL = OrderType.BUY_STOP_LIMIT, OrderType.SELL_STOP_LIMIT
ACTIVATED = ["ACTIVATED"]


@pytest.mark.parametrize(
    ("order_type", "limit", "ticks"),
    [
        (
            BUY,
            109_950,
            [
                (109_900, 109_999, []),
                (109_900, 110_000, ACTIVATED),
                (109_900, 109_951, []),
                (109_900, 109_950, ["OPENED BUY_STOP_LIMIT"]),
            ],
        ),
        (
            SELL,
            110_050,
            [
                (110_001, 110_100, []),
                (110_000, 110_100, ACTIVATED),
                (110_049, 110_100, []),
                (110_050, 110_100, ["OPENED SELL_STOP_LIMIT"]),
            ],
        ),
    ],
)
def test_it_is_activated_at_its_stop_price_and_opens_at_its_limit(
    order_type: OrderType, limit: int, ticks: list[tuple[int, int, list[str]]]
) -> None:
    floor = Floor()
    floor.rest(order_type, 110_000, limit_price=limit)
    decisions = []
    for bid, ask, decided in ticks:
        decisions = floor.tick("EURUSD", bid, ask)
        assert kinds(decisions) == decided
        if decided is ACTIVATED:
            state = order_of(decisions[0])
            assert (state.status, state.activated_time) == ("PENDING", floor.now)
            assert (decisions[0].deal, decisions[0].postings) == (None, ())
    assert (deal_of(decisions[0]).price, deal_of(decisions[0]).slippage) == (limit, 0)


@pytest.mark.parametrize(
    ("account", "price", "slippage"),
    [(1, 109_800, -150), (2, 109_950, 0)],
)
def test_it_fills_as_a_limit_by_the_group_s_policy(account: int, price: int, slippage: int) -> None:
    floor = Floor()
    floor.rest(BUY, 110_000, account=account, limit_price=109_950)
    floor.tick("EURUSD", 110_000, 110_000)
    (deal,) = floor.deals("EURUSD", 109_790, 109_800)
    assert (deal.price, deal.slippage) == (price, slippage)


def test_one_tick_never_does_both_even_where_a_tolerance_reaches_both() -> None:
    floor = Floor()
    floor.set_symbol("EURUSD", trigger_tolerance_points=20)
    floor.rest(BUY, 110_000, limit_price=109_990)
    assert kinds(floor.tick("EURUSD", 110_000, 110_000)) == ACTIVATED
    assert kinds(floor.tick("EURUSD", 110_000, 110_000)) == ["OPENED BUY_STOP_LIMIT"]


@pytest.mark.parametrize(("order_type", "limit"), [(BUY, 110_050), (SELL, 109_950)])
def test_a_price_moved_away_and_back_activates_it_once(order_type: OrderType, limit: int) -> None:
    floor = Floor()
    floor.tick("EURUSD", 110_000, 110_000)
    sign = 1 if order_type is BUY else -1
    order = order_of(floor.place(order_type, 110_000 + sign * 100, limit_price=limit)).order_id
    for points in (200, 100, 300, 100):
        floor.modify(order, price=110_000 + sign * points)
    price = 110_000 + sign * 300
    assert kinds(floor.tick("EURUSD", price, price)) == ACTIVATED
    assert floor.tick("EURUSD", price, price) == []


def test_once_activated_only_its_limit_can_change() -> None:
    floor = Floor()
    order = floor.rest(BUY, 110_000, limit_price=109_950)
    floor.tick("EURUSD", 110_000, 110_000)
    code = floor.refusal(lambda: floor.modify(order, price=110_100))
    assert code is RejectCode.INVALID_PRICE
    floor.modify(order, limit_price=109_900)
    assert floor.tick("EURUSD", 109_900, 109_950) == []
    assert kinds(floor.tick("EURUSD", 109_890, 109_900)) == ["OPENED BUY_STOP_LIMIT"]


def test_its_activation_survives_a_restart() -> None:
    floor = Floor()
    floor.rest(BUY, 110_000, limit_price=109_950)
    (activated,) = floor.tick("EURUSD", 110_000, 110_000)
    restarted = Floor()
    restarted.now, restarted.desk.tick = floor.now, floor.desk.tick
    restarted.engine.load([order_of(activated)])
    restarted.engine.begin()
    assert restarted.tick("EURUSD", 110_000, 110_000) == []
    assert kinds(restarted.tick("EURUSD", 109_950, 109_950)) == ["OPENED BUY_STOP_LIMIT"]


def test_it_waits_where_nothing_may_open() -> None:
    floor = Floor()
    floor.rest(BUY, 110_000, limit_price=109_950)
    floor.set_group(trading_state=TradingState.CLOSE_ONLY)
    assert floor.tick("EURUSD", 110_000, 110_000) == []
    floor.set_group()
    assert floor.tick("EURUSD", 109_990, 109_990) == []
    assert kinds(floor.tick("EURUSD", 110_001, 110_001)) == ACTIVATED


@pytest.mark.parametrize(
    ("order_type", "price", "levels", "limit", "code"),
    [
        (BUY, 110_100, (None, None), None, RejectCode.INVALID_LIMIT_PRICE),
        (BUY, 110_100, (None, None), 0, RejectCode.INVALID_LIMIT_PRICE),
        (BUY, 110_100, (None, None), 110_100, RejectCode.INVALID_LIMIT_PRICE),
        (SELL, 109_900, (None, None), 109_900, RejectCode.INVALID_LIMIT_PRICE),
        (OrderType.BUY_STOP, 110_100, (None, None), 110_000, RejectCode.INVALID_LIMIT_PRICE),
        (BUY, 110_000, (None, None), 109_900, RejectCode.WRONG_SIDE_OF_MARKET),
        (SELL, 110_000, (None, None), 110_100, RejectCode.WRONG_SIDE_OF_MARKET),
        (BUY, 110_100, (110_000, None), 110_000, RejectCode.INVALID_STOP_LOSS),
        (BUY, 110_100, (None, 110_000), 110_000, RejectCode.INVALID_TAKE_PROFIT),
    ],
)
def test_what_is_refused(
    order_type: OrderType,
    price: int,
    levels: tuple[int | None, int | None],
    limit: int | None,
    code: RejectCode,
) -> None:
    floor = Floor()
    floor.tick("EURUSD", 110_000, 110_000)
    assert floor.refusal(lambda: floor.place(order_type, price, *levels, limit_price=limit)) is code


def test_stop_loss_and_take_profit_are_measured_from_its_limit() -> None:
    floor = Floor()
    floor.tick("EURUSD", 110_000, 110_000)
    order = order_of(floor.place(BUY, 110_100, 109_999, 110_050, limit_price=110_000)).order_id
    assert floor.desk.orders[order].take_profit == 110_050
