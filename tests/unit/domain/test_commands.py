"""What a command is refused for, and that a refusal changes nothing."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from service.domain.decision import EventKind, PostingKind
from service.domain.instructions import PlaceOrder
from service.domain.order import CancelReason, CloseReason, OrderStatus, OrderType
from service.domain.rejection import RejectCode, Rejected
from tests.unit.domain.floor import LOT, SECOND, Floor, deal_of, order_of

Code = RejectCode


@pytest.fixture
def floor() -> Floor:
    """A floor with EURUSD at 1.10000 / 1.10010, sold at 1.09999 and bought at 1.10012."""
    floor = Floor()
    floor.set_terms("market", "EURUSD", markup=3)
    floor.tick("EURUSD", 110_000, 110_010)
    return floor


@pytest.mark.parametrize(
    ("order_type", "levels", "code"),
    [
        (OrderType.BUY_LIMIT, (110_012, None, None), Code.WRONG_SIDE_OF_MARKET),
        (OrderType.BUY_LIMIT, (110_011, None, None), None),
        (OrderType.BUY_STOP, (110_012, None, None), Code.WRONG_SIDE_OF_MARKET),
        (OrderType.BUY_STOP, (110_013, None, None), None),
        (OrderType.SELL_LIMIT, (109_999, None, None), Code.WRONG_SIDE_OF_MARKET),
        (OrderType.SELL_LIMIT, (110_000, None, None), None),
        (OrderType.SELL_STOP, (109_999, None, None), Code.WRONG_SIDE_OF_MARKET),
        (OrderType.SELL_STOP, (109_998, None, None), None),
        (OrderType.BUY_LIMIT, (None, None, None), Code.INVALID_PRICE),
        (OrderType.BUY_LIMIT, (0, None, None), Code.INVALID_PRICE),
        (OrderType.BUY, (110_000, None, None), Code.INVALID_PRICE),
        # inverted, or on the wrong side of the order's price
        (OrderType.BUY_LIMIT, (110_000, 110_000, None), Code.INVALID_STOP_LOSS),
        (OrderType.BUY_LIMIT, (110_000, 109_999, 110_001), None),
        (OrderType.BUY_LIMIT, (110_000, None, 110_000), Code.INVALID_TAKE_PROFIT),
        (OrderType.SELL_LIMIT, (110_100, 110_100, None), Code.INVALID_STOP_LOSS),
        (OrderType.SELL_LIMIT, (110_100, 110_101, 110_099), None),
        (OrderType.SELL_LIMIT, (110_100, None, 110_100), Code.INVALID_TAKE_PROFIT),
        (OrderType.BUY_LIMIT, (110_000, 0, None), Code.INVALID_STOP_LOSS),
        (OrderType.BUY_LIMIT, (110_000, None, -1), Code.INVALID_TAKE_PROFIT),
        # already reached by the price it would close at: the other side of the market
        (OrderType.BUY, (None, 109_999, None), Code.INVALID_STOP_LOSS),
        (OrderType.BUY, (None, 109_998, None), None),
        (OrderType.BUY, (None, None, 109_999), Code.INVALID_TAKE_PROFIT),
        (OrderType.BUY, (None, None, 110_000), None),
        (OrderType.SELL, (None, 110_012, None), Code.INVALID_STOP_LOSS),
        (OrderType.SELL, (None, 110_013, None), None),
        (OrderType.SELL, (None, None, 110_012), Code.INVALID_TAKE_PROFIT),
        (OrderType.SELL, (None, None, 110_011), None),
        (OrderType.BUY, (None, 110_100, 109_900), Code.INVALID_STOP_LOSS),
    ],
)
def test_levels_are_checked_when_an_order_is_placed(
    floor: Floor,
    order_type: OrderType,
    levels: tuple[int | None, int | None, int | None],
    code: RejectCode | None,
) -> None:
    if code is None:
        assert order_of(floor.place(order_type, *levels)).order_id in floor.desk.orders
        return
    with pytest.raises(Rejected) as refused:
        floor.place(order_type, *levels)
    assert refused.value.code is code
    assert (floor.desk.orders, floor.desk.next_decision_id, floor.desk.next_order_id) == ({}, 1, 1)


@pytest.mark.parametrize("volume", [0, -100, 150, 99, 100 * LOT + 100])
def test_a_volume_off_its_step_or_limits_is_refused(floor: Floor, volume: int) -> None:
    with pytest.raises(Rejected) as refused:
        floor.place(OrderType.BUY, volume=volume)
    assert refused.value.code is Code.INVALID_VOLUME


def test_unknown_account_symbol_and_order_have_their_own_codes(floor: Floor) -> None:
    codes = []
    attempts: list[Callable[[], object]] = [
        lambda: floor.place(OrderType.BUY, account=9),
        lambda: floor.place(OrderType.BUY, symbol="XAUUSD"),
        lambda: floor.commands.cancel(1, 7, floor.now),
        lambda: floor.place(OrderType.BUY, symbol="GBPUSD"),
    ]
    for attempt in attempts:
        with pytest.raises(Rejected) as refused:
            attempt()
        codes.append(refused.value.code)
    assert codes == [
        Code.UNKNOWN_ACCOUNT,
        Code.UNKNOWN_SYMBOL,
        Code.ORDER_NOT_FOUND,
        Code.NO_QUOTE,
    ]


def test_a_foreign_order_is_not_found(floor: Floor) -> None:
    order = order_of(floor.place(OrderType.BUY)).order_id
    attempts: list[Callable[[], object]] = [
        lambda: floor.close(order, account=2),
        lambda: floor.modify(order, account=2, stop_loss=100_000),
        lambda: floor.commands.cancel(2, order, floor.now),
    ]
    for attempt in attempts:
        with pytest.raises(Rejected) as refused:
            attempt()
        assert refused.value.code is Code.ORDER_NOT_FOUND


def test_a_price_too_old_is_not_dealt_at(floor: Floor) -> None:
    order = order_of(floor.place(OrderType.BUY)).order_id
    floor.now += 10 * SECOND
    floor.place(OrderType.BUY)
    floor.now += 1
    attempts: list[Callable[[], object]] = [
        lambda: floor.place(OrderType.BUY),
        lambda: floor.close(order),
    ]
    for attempt in attempts:
        with pytest.raises(Rejected) as refused:
            attempt()
        assert refused.value.code is Code.NO_QUOTE


def test_a_market_order_without_margin_or_rate_is_refused_and_never_stored(floor: Floor) -> None:
    floor.tick("EURJPY", 165_000, 165_010)
    for command, code in (
        (PlaceOrder(1, "EURUSD", OrderType.BUY, 100 * LOT), None),
        (PlaceOrder(1, "EURJPY", OrderType.BUY, LOT), Code.NO_RATE),
    ):
        if code is None:
            floor.desk.accounts[1].balance = Decimal("110012")
            opened = floor.commands.place(command, floor.now)
            assert opened.account.margin == 110_012
            floor.close(order_of(opened).order_id)
            code = Code.INSUFFICIENT_MARGIN
        with pytest.raises(Rejected) as refused:
            floor.commands.place(command, floor.now)
        assert refused.value.code is code
    assert floor.desk.orders == {}


def test_a_placed_order_rests_at_once_and_opens_later(floor: Floor) -> None:
    placed = floor.place(OrderType.BUY_STOP, 110_020)
    assert (placed.kind, placed.expected, placed.deal) == (EventKind.PLACED, None, None)
    (opened,) = floor.tick("EURUSD", 110_010, 110_018)
    assert opened.expected is OrderStatus.PENDING
    assert opened.decision_id == placed.decision_id + 1
    assert opened.account.sequence == placed.account.sequence + 1


def test_price_and_volume_change_on_pending_orders_only(floor: Floor) -> None:
    order = order_of(floor.place(OrderType.BUY_LIMIT, 109_000, 108_000)).order_id
    changed = order_of(floor.modify(order, price=109_500, volume=2 * LOT))
    assert (changed.price, changed.volume, changed.stop_loss) == (109_500, 2 * LOT, 108_000)
    for changes, code in (
        ({"price": None}, Code.INVALID_PRICE),
        ({"price": 107_000}, Code.INVALID_STOP_LOSS),
        ({"price": 110_012}, Code.WRONG_SIDE_OF_MARKET),
        ({"volume": None}, Code.INVALID_VOLUME),
        ({"volume": 150}, Code.INVALID_VOLUME),
        ({"stop_loss": 109_500}, Code.INVALID_STOP_LOSS),
        ({"take_profit": 109_500}, Code.INVALID_TAKE_PROFIT),
    ):
        with pytest.raises(Rejected) as refused:
            floor.modify(order, **changes)
        assert refused.value.code is code
    floor.tick("EURUSD", 109_400, 109_410)
    with pytest.raises(Rejected) as refused:
        floor.modify(order, price=109_000)
    assert refused.value.code is Code.ORDER_NOT_PENDING


def test_a_stop_loss_may_follow_the_market_into_profit(floor: Floor) -> None:
    order = order_of(floor.place(OrderType.BUY)).order_id
    floor.tick("EURUSD", 110_500, 110_510)
    changed = floor.modify(order, stop_loss=110_400)
    assert (changed.kind, changed.expected) == (EventKind.MODIFIED, OrderStatus.OPEN)
    (deal,) = floor.deals("EURUSD", 110_401, 110_411)  # sold at 1.10400
    assert (deal.reason, deal.price, deal.profit) == (CloseReason.STOP_LOSS, 110_400, Decimal(388))


def test_cancel_is_for_pending_and_close_for_open_orders(floor: Floor) -> None:
    pending = order_of(floor.place(OrderType.BUY_LIMIT, 109_000)).order_id
    position = order_of(floor.place(OrderType.BUY)).order_id
    with pytest.raises(Rejected) as refused:
        floor.close(pending)
    assert refused.value.code is Code.ORDER_NOT_OPEN
    with pytest.raises(Rejected) as refused:
        floor.commands.cancel(1, position, floor.now)
    assert refused.value.code is Code.ORDER_NOT_PENDING
    cancelled = floor.commands.cancel(1, pending, floor.now)
    assert (deal_of(cancelled).reason, cancelled.expected) == (
        CancelReason.CLIENT,
        OrderStatus.PENDING,
    )
    assert floor.close(position).reason is CloseReason.CLIENT
    assert floor.tick("EURUSD", 108_000, 108_010) == []


@pytest.mark.parametrize(
    "amount", ["0", "0.005", "-0.001", "NaN", "sNaN", "Infinity", "1E+12", "-1E+12", "1E+40"]
)
def test_an_amount_that_is_not_whole_cents_is_refused(floor: Floor, amount: str) -> None:
    with pytest.raises(Rejected) as refused:
        floor.commands.fund(1, Decimal(amount), floor.now)
    assert refused.value.code is Code.INVALID_AMOUNT
    assert floor.desk.accounts[1].balance == 1_000_000


def test_a_free_margin_that_thirds_add_up_to_may_be_withdrawn_whole(floor: Floor) -> None:
    """Margin 160,000 JPY / 150 = 1066.666..., loss 50 JPY / 150 = 0.333...: 1067 in all."""
    floor.add_account(3, balance="2000", leverage="1")
    floor.tick("USDJPY", 150_000, 150_000)
    floor.tick("EURJPY", 160_000, 160_000)
    floor.place(OrderType.BUY, account=3, symbol="EURJPY", volume=100)
    floor.tick("EURJPY", 159_950, 159_950)
    with pytest.raises(Rejected) as refused:
        floor.commands.fund(3, Decimal("-933.01"), floor.now)
    assert refused.value.code is Code.INSUFFICIENT_FUNDS
    taken = floor.commands.fund(3, Decimal("-933.00"), floor.now)
    assert taken.account.balance == Decimal("1067.00")


def test_what_may_be_withdrawn_is_the_free_margin_but_no_unbooked_profit(floor: Floor) -> None:
    floor.add_account(3, balance="2000")
    floor.place(OrderType.BUY, account=3)  # margin 1100.12, 13 points under water: free 886.88
    with pytest.raises(Rejected) as refused:
        floor.commands.fund(3, Decimal("-886.89"), floor.now)
    assert refused.value.code is Code.INSUFFICIENT_FUNDS
    taken = floor.commands.fund(3, Decimal("-886.88"), floor.now)
    assert (taken.kind, taken.account.balance) == (EventKind.WITHDRAWN, Decimal("1113.12"))
    assert [p.kind for p in taken.postings] == [PostingKind.WITHDRAWAL]
    floor.tick("EURUSD", 115_000, 115_010)  # nearly 5,000 of profit, but 1113.12 of balance
    with pytest.raises(Rejected):
        floor.commands.fund(3, Decimal("-1113.13"), floor.now)
    floor.commands.fund(3, Decimal("-1113.12"), floor.now)
    floor.commands.fund(3, Decimal("0.01"), floor.now)
    assert floor.desk.accounts[3].balance == Decimal("0.01")
