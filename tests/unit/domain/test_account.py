"""Margin, profit and free margin with figures worked out by hand."""

from decimal import Decimal

import pytest

from service.domain.decision import DealEvent, EventKind
from service.domain.order import CancelReason, OrderType
from service.domain.quote import Quote
from tests.unit.domain.floor import LOT, Floor, order_of

BUY, SELL = OrderType.BUY, OrderType.SELL


@pytest.mark.parametrize(
    ("symbol", "order_type", "close_at", "profit"),
    [
        # 50 points of 1 lot
        ("EURUSD", BUY, (110_050, 110_060), "50.00"),
        ("EURUSD", SELL, (110_040, 110_050), "-50.00"),
        # 10,000 JPY: a gain / ask 150.010 = 66.6622, a loss / bid 150.000 = 66.6667
        ("EURJPY", BUY, (165_100, 165_110), "66.66"),
        ("EURJPY", BUY, (164_900, 164_910), "-66.67"),
        ("EURJPY", SELL, (164_890, 164_900), "66.66"),
        ("EURJPY", SELL, (165_090, 165_100), "-66.67"),
        # 100 GBP: a gain * bid 1.25000, a loss * ask 1.25020
        ("EURGBP", BUY, (88_100, 88_110), "125.00"),
        ("EURGBP", BUY, (87_900, 87_910), "-125.02"),
        ("EURGBP", SELL, (87_890, 87_900), "125.00"),
        ("EURGBP", SELL, (88_090, 88_100), "-125.02"),
    ],
)
def test_profit_is_converted_at_the_side_the_broker_deals_at(
    symbol: str, order_type: OrderType, close_at: tuple[int, int], profit: str
) -> None:
    floor = Floor()
    floor.tick("USDJPY", 150_000, 150_010)
    floor.tick("GBPUSD", 125_000, 125_020)
    price = {"EURUSD": 110_000, "EURJPY": 165_000, "EURGBP": 88_000}[symbol]
    order = floor.rest(order_type, symbol=symbol)
    floor.tick(symbol, price, price)
    floor.tick(symbol, *close_at)
    deal = floor.close(order)
    assert (deal.profit, deal.balance_after) == (Decimal(profit), 1_000_000 + Decimal(profit))


def test_a_yen_pair_converts_by_its_own_new_quote() -> None:
    floor = Floor()
    order = floor.rest(BUY, symbol="USDJPY")
    floor.tick("USDJPY", 150_000, 150_000)
    floor.tick("USDJPY", 151_000, 151_010)
    assert floor.close(order).profit == Decimal("662.21")  # 100,000 JPY / 151.010


@pytest.mark.parametrize(
    ("points", "profit"),
    [(1, "0.00"), (3, "0.02"), (5, "0.02"), (7, "0.04"), (-1, "0.00"), (-3, "-0.02")],
)
def test_profit_is_posted_half_even(points: int, profit: str) -> None:
    floor = Floor()
    floor.set_symbol("EURUSD", min_volume=50, volume_step=50)
    order = floor.rest(BUY, volume=50)  # 0.005 USD a point
    floor.tick("EURUSD", 110_000, 110_000)
    floor.tick("EURUSD", 110_000 + points, 110_000 + points)
    deal = floor.close(order)
    assert (str(deal.profit), deal.balance_after) == (profit, 1_000_000 + Decimal(profit))


@pytest.mark.parametrize(
    ("symbol", "order_type", "quote", "margin"),
    [
        ("EURUSD", BUY, (109_990, 110_000), "1100"),
        ("EURUSD", SELL, (109_990, 110_000), "1099.9"),
        ("EURJPY", BUY, (164_990, 165_000), "1100"),  # 165,000 JPY / bid 150.000
        ("EURGBP", BUY, (87_990, 88_000), "1100.176"),  # 880 GBP * ask 1.25020
    ],
)
def test_margin_is_converted_as_a_loss_and_not_rounded(
    symbol: str, order_type: OrderType, quote: tuple[int, int], margin: str
) -> None:
    floor = Floor()
    floor.tick("USDJPY", 150_000, 150_010)
    floor.tick("GBPUSD", 125_000, 125_020)
    floor.rest(order_type, symbol=symbol)
    (decision,) = floor.tick(symbol, *quote)
    assert order_of(decision).margin == Decimal(margin)
    assert decision.account.margin == Decimal(margin)


def test_margin_factor_and_leverage_scale_the_margin() -> None:
    floor = Floor()
    floor.add_account(3, leverage="30")
    floor.set_terms("market", "EURUSD", margin_factor=Decimal("1.5"))
    floor.rest(BUY, account=3, volume=3 * LOT)
    (decision,) = floor.tick("EURUSD", 110_000, 110_000)
    assert decision.account.margin == 16_500  # 330,000 / 30 * 1.5


def test_the_larger_leg_is_margined_and_a_symbol_does_not_hedge_another() -> None:
    floor = Floor()
    floor.tick("EURUSD", 110_000, 110_000)
    floor.tick("GBPUSD", 125_000, 125_000)
    margins = []
    orders = []
    for order_type, volume in ((BUY, 2), (SELL, 1), (SELL, 3), (BUY, 1)):
        decision = floor.place(order_type, volume=volume * LOT)
        orders.append(order_of(decision).order_id)
        margins.append(decision.account.margin)
    assert margins == [2200, 2200, 4400, 4400]  # legs 2:0, 2:1, 2:4, 3:4
    assert floor.place(SELL, symbol="GBPUSD").account.margin == 4400 + 1250
    account = floor.desk.accounts[1]
    for order, margin in zip(orders, (4400, 3300, 1100, 0), strict=True):
        floor.close(order)  # legs 1:4, 1:3, 1:0, none
        assert account.margin == margin + 1250


@pytest.mark.parametrize(("balance", "opens"), [("1100", True), ("1099.99", False)])
def test_an_order_opens_if_its_margin_is_all_that_is_free(balance: str, opens: bool) -> None:
    floor = Floor()
    floor.add_account(3, balance=balance)
    order = floor.rest(OrderType.BUY_LIMIT, 110_000, account=3)
    (decision,) = floor.tick("EURUSD", 110_000, 110_000)
    assert decision.kind is (EventKind.OPENED if opens else EventKind.CANCELLED)
    assert order_of(decision).reason is (None if opens else CancelReason.INSUFFICIENT_MARGIN)
    assert (order in floor.desk.orders) is opens
    assert decision.account.balance == Decimal(balance)


@pytest.mark.parametrize("leverage", [3, 7, 30, 300])
def test_parts_of_a_whole_add_up(leverage: int) -> None:
    floor = Floor()
    floor.add_account(3, balance="110000", leverage=str(leverage))
    for _ in range(leverage + 1):
        floor.rest(BUY, account=3)
    deals = floor.deals("EURUSD", 110_000, 110_000)
    assert [deal.event for deal in deals] == [DealEvent.OPEN] * leverage + [DealEvent.CANCEL]


def test_free_margin_counts_the_live_loss() -> None:
    floor = Floor()
    floor.add_account(3, balance="2210")
    floor.rest(BUY, account=3)
    second = floor.rest(OrderType.BUY_LIMIT, 109_990, account=3)
    floor.tick("EURUSD", 110_000, 110_000)
    # 2210 - 10 (10 points) - 1100 = 1100 is free; 1 lot at 1.09990 needs 1099.90
    (decision,) = floor.tick("EURUSD", 109_990, 109_990)
    assert (order_of(decision).order_id, decision.kind) == (second, EventKind.OPENED)
    third = floor.rest(OrderType.BUY_LIMIT, 109_990, account=3, volume=100)
    (decision,) = floor.tick("EURUSD", 109_990, 109_990)
    assert (order_of(decision).order_id, decision.kind) == (third, EventKind.CANCELLED)


@pytest.mark.parametrize(("balance", "opens"), [("1110", True), ("1109.99", False)])
def test_a_hedge_needs_no_margin_but_no_debt_either(balance: str, opens: bool) -> None:
    floor = Floor()
    floor.add_account(3, balance=balance)
    floor.rest(BUY, account=3)
    floor.rest(OrderType.SELL_STOP, 109_990, account=3)
    floor.tick("EURUSD", 110_000, 110_000)
    decision = floor.tick("EURUSD", 109_990, 109_990)[0]  # 10.00 lost
    assert decision.kind is (EventKind.OPENED if opens else EventKind.CANCELLED)


def test_equity_of_an_account_with_an_unpriced_position_is_unknown() -> None:
    floor = Floor()
    floor.tick("USDJPY", 150_000, 150_010)
    order = floor.rest(BUY, symbol="EURJPY", stop_loss=164_000)
    (opened,) = floor.tick("EURJPY", 165_000, 165_000)
    restarted = Floor()
    restarted.desk.tick = floor.desk.tick
    restarted.engine.load([order_of(opened)])
    account = restarted.desk.accounts[1]
    assert account.margin == 1100
    assert (account.profit(), account.equity(), account.free_margin()) == (None, None, None)
    at = floor.now
    assert restarted.engine.on_quote(Quote("EURJPY", 163_000, 163_000, at), at) == []
    assert restarted.engine.desk.trigger_counts.deferred == 1
    restarted.now = at
    restarted.tick("USDJPY", 150_000, 150_010)
    (deal,) = restarted.deals("EURJPY", 163_000, 163_000)
    assert deal.profit == Decimal("-1333.33")  # 200,000 JPY / 150.000
    assert order not in restarted.desk.orders
