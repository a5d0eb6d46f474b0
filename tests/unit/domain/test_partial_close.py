"""Partial closes: a part is dealt, the rest keeps its terms and its share of the margin."""

from decimal import Decimal

import pytest

from service.domain.order import OrderStatus, OrderType
from service.domain.rejection import RejectCode
from tests.unit.domain.floor import LOT, Floor, deal_of, kinds, order_of, posted

BUY = OrderType.BUY


def opened(volume: int = 4 * LOT) -> tuple[Floor, int]:
    """Open a position at 1.10000, with a stop loss, for 3.50 a lot and deal."""
    floor = Floor()
    floor.set_terms("market", "EURUSD", commission=Decimal("3.5"))
    floor.tick("EURUSD", 110_000, 110_000)
    return floor, order_of(floor.place(BUY, None, 109_000, volume=volume)).order_id


def test_a_part_is_dealt_and_the_rest_stays_as_it_was() -> None:
    floor, order = opened()
    floor.tick("EURUSD", 110_100, 110_110)
    decision = floor.close_part(order, volume=LOT)
    deal, state = deal_of(decision), order_of(decision)
    assert kinds([decision]) == ["PARTIALLY_CLOSED CLIENT"]
    assert (deal.event, deal.volume, deal.price) == ("PARTIAL_CLOSE", LOT, 110_100)
    assert (deal.profit, deal.commission) == (Decimal("100.00"), Decimal("3.50"))
    assert posted(decision) == [("PROFIT", "100.00"), ("COMMISSION", "-3.50")]
    assert (state.status, state.volume, state.open_price) == (OrderStatus.OPEN, 3 * LOT, 110_000)
    assert (state.margin, decision.account.margin) == (Decimal(3300), Decimal(3300))
    assert (state.profit, state.commission) == (Decimal("100.00"), Decimal("17.50"))
    (closed,) = floor.tick("EURUSD", 109_000, 109_000)
    assert deal_of(closed).volume == 3 * LOT
    assert deal_of(closed).profit == -3000
    assert (order_of(closed).profit, order_of(closed).commission) == (Decimal(-2900), Decimal(28))
    assert closed.account.balance == 1_000_000 - 14 - 2900 - 14


@pytest.mark.parametrize(
    ("order_type", "price", "parts", "profits"),
    [
        # 0.25 lot of EURUSD: 1 point is 0.25 USD, half even to cents
        (BUY, 110_001, (2_500, 2_500, 5_000), ("0.25", "0.25", "0.50")),
        (OrderType.SELL, 110_007, (100, 200, 9_700), ("-0.07", "-0.14", "-6.79")),
    ],
)
def test_the_profits_of_the_parts(
    order_type: OrderType, price: int, parts: tuple[int, ...], profits: tuple[str, ...]
) -> None:
    floor = Floor()
    floor.tick("EURUSD", 110_000, 110_000)
    order = order_of(floor.place(order_type)).order_id
    floor.tick("EURUSD", price, price)
    deals = [floor.close(order, volume=part) for part in parts]
    assert [str(deal.profit) for deal in deals] == list(profits)
    assert [deal.event for deal in deals] == ["PARTIAL_CLOSE", "PARTIAL_CLOSE", "CLOSE"]
    assert floor.desk.orders == {}


def test_a_hedged_leg_frees_margin_only_where_it_is_the_larger() -> None:
    floor, long = opened(3 * LOT)
    short = order_of(floor.place(OrderType.SELL, volume=2 * LOT)).order_id
    account = floor.desk.accounts[1]
    table = ((short, LOT, 3300), (long, LOT, 2200), (long, LOT, 1100), (short, LOT, 1100))
    for order, volume, margin in table:
        floor.close(order, volume=volume)
        assert account.margin == margin


@pytest.mark.parametrize(
    ("volume", "code"),
    [
        (0, RejectCode.INVALID_VOLUME),
        (-LOT, RejectCode.INVALID_VOLUME),
        (50, RejectCode.INVALID_VOLUME),
        (150, RejectCode.INVALID_VOLUME),
        (5 * LOT, RejectCode.INVALID_VOLUME),
        (4 * LOT - 50, RejectCode.INVALID_VOLUME),
    ],
)
def test_what_is_refused(volume: int, code: RejectCode) -> None:
    floor, order = opened()
    assert floor.refusal(lambda: floor.close(order, volume=volume)) is code


def test_no_rest_smaller_than_the_smallest_lot_is_left() -> None:
    floor = Floor()
    floor.set_symbol("EURUSD", min_volume=1_000)
    floor.tick("EURUSD", 110_000, 110_000)
    order = order_of(floor.place(BUY)).order_id
    code = floor.refusal(lambda: floor.close(order, volume=9_500))
    assert code is RejectCode.INVALID_VOLUME
    assert floor.close(order, volume=9_000).volume == 9_000
    assert floor.close(order, volume=1_000).event == "CLOSE"


def test_the_whole_volume_closes_the_order() -> None:
    floor, order = opened()
    decision = floor.close_part(order, volume=4 * LOT)
    assert kinds([decision]) == ["CLOSED CLIENT"]
    assert floor.desk.orders == {}


def test_what_is_left_survives_a_restart() -> None:
    floor, order = opened()
    floor.tick("EURUSD", 110_100, 110_100)
    stored = order_of(floor.close_part(order, volume=LOT))
    restarted = Floor()
    restarted.now, restarted.desk.tick = floor.now, floor.desk.tick
    restarted.engine.load([stored])
    restarted.engine.begin()
    assert restarted.desk.accounts[1].margin == 3300
    (closed,) = restarted.tick("EURUSD", 108_900, 108_900)
    assert (deal_of(closed).volume, order_of(closed).profit) == (3 * LOT, Decimal(-3200))
