"""At what price a deal is made, what slippage it stores and what commission it costs."""

from decimal import Decimal

import pytest

from service.domain.instrument import CommissionType, CommissionValueType
from service.domain.order import OrderType
from tests.unit.domain.floor import LOT, Floor

MARKET, REQUESTED = 1, 2

OPENINGS = [
    # order type, asked, bid, ask; price and slippage by group price
    (OrderType.BUY_STOP, 110_000, 109_000, 110_007, 110_007, 7),
    (OrderType.BUY_LIMIT, 110_000, 109_000, 109_990, 109_990, -10),
    (OrderType.SELL_STOP, 110_000, 109_990, 111_000, 109_990, 10),
    (OrderType.SELL_LIMIT, 110_000, 110_010, 111_000, 110_010, -10),
    (OrderType.BUY, None, 109_990, 110_000, 110_000, 0),
    (OrderType.SELL, None, 109_990, 110_000, 109_990, 0),
]
CLOSINGS = [
    # position, stop loss, take profit, bid, ask; price and slippage by group price
    (OrderType.BUY, 109_900, None, 109_880, 109_885, 109_880, 20),
    (OrderType.SELL, 110_100, None, 110_125, 110_130, 110_130, 30),
    (OrderType.BUY, None, 110_100, 110_120, 110_125, 110_120, -20),
    (OrderType.SELL, None, 109_900, 109_890, 109_895, 109_895, -5),
]


@pytest.mark.parametrize(("order_type", "asked", "bid", "ask", "price", "slippage"), OPENINGS)
@pytest.mark.parametrize("account", [MARKET, REQUESTED])
def test_fill_and_slippage_of_an_opening(
    account: int,
    order_type: OrderType,
    asked: int | None,
    bid: int,
    ask: int,
    price: int,
    slippage: int,
) -> None:
    floor = Floor()
    floor.rest(order_type, asked, account=account)
    (deal,) = floor.deals("EURUSD", bid, ask)
    if account == REQUESTED and asked is not None:
        price, slippage = asked, 0
    assert (deal.price, deal.slippage) == (price, slippage)


@pytest.mark.parametrize(
    ("order_type", "stop", "take", "bid", "ask", "price", "slippage"), CLOSINGS
)
@pytest.mark.parametrize("account", [MARKET, REQUESTED])
def test_fill_and_slippage_of_a_closing(
    account: int,
    order_type: OrderType,
    stop: int | None,
    take: int | None,
    bid: int,
    ask: int,
    price: int,
    slippage: int,
) -> None:
    floor = Floor()
    floor.rest(order_type, None, stop, take, account=account)
    floor.tick("EURUSD", 110_000, 110_000)
    (deal,) = floor.deals("EURUSD", bid, ask)
    if account == REQUESTED:
        price, slippage = (stop or take or 0), 0
    assert (deal.price, deal.slippage) == (price, slippage)
    assert deal.time == floor.now


def test_a_client_closes_at_the_group_price_whatever_the_policy() -> None:
    floor = Floor()
    floor.set_terms("requested", "EURUSD", markup=3)
    order = floor.rest(OrderType.BUY, None, 109_000, 111_000, account=REQUESTED)
    floor.tick("EURUSD", 110_000, 110_010)
    deal = floor.close(order, REQUESTED)
    assert (deal.price, deal.slippage) == (109_999, 0)


@pytest.mark.parametrize(
    ("symbol", "value_type", "rate", "charge"),
    [
        ("EURUSD", CommissionValueType.PER_LOT, "3.5", "1.75"),
        # 0.5 lots * 100,000 * 1.10000 = 55,000 USD * 0.005 % = 2.75
        ("EURUSD", CommissionValueType.PERCENT, "0.005", "2.75"),
        # 0.5 lots * 100,000 * 165.000 = 8,250,000 JPY * 0.005 % = 412.5 JPY / bid 150.000 = 2.75
        ("EURJPY", CommissionValueType.PERCENT, "0.005", "2.75"),
    ],
)
@pytest.mark.parametrize("commission_type", CommissionType)
def test_commission_is_charged_when_its_deal_is_made(
    commission_type: CommissionType,
    symbol: str,
    value_type: CommissionValueType,
    rate: str,
    charge: str,
) -> None:
    floor = Floor()
    floor.set_terms(
        "market",
        symbol,
        commission_type=commission_type,
        commission_value_type=value_type,
        commission=Decimal(rate),
    )
    price = 110_000 if symbol == "EURUSD" else 165_000
    floor.tick("USDJPY", 150_000, 150_010)
    order = floor.rest(OrderType.BUY, symbol=symbol, volume=LOT // 2)
    (opening,) = floor.deals(symbol, price, price)
    closing = floor.close(order)
    entry = charge if commission_type is not CommissionType.EXIT else "0"
    exit_ = charge if commission_type is not CommissionType.ENTRY else "0"
    assert (opening.commission, opening.profit) == (Decimal(entry), Decimal(0))
    assert (closing.commission, closing.profit) == (Decimal(exit_), Decimal(0))
    assert opening.balance_after == 1_000_000 - Decimal(entry)
    assert closing.balance_after == 1_000_000 - Decimal(entry) - Decimal(exit_)


@pytest.mark.parametrize(("rate", "charge"), [("0.05", "0"), ("0.15", "0.02"), ("0.25", "0.02")])
def test_commission_is_posted_half_even(rate: str, charge: str) -> None:
    floor = Floor()
    floor.set_terms(
        "market", "EURUSD", commission_type=CommissionType.ENTRY, commission=Decimal(rate)
    )
    floor.rest(OrderType.BUY, volume=LOT // 10)
    (decision,) = floor.tick("EURUSD", 110_000, 110_000)
    assert [posting.amount for posting in decision.postings] == (
        [-Decimal(charge)] if Decimal(charge) else []
    )
