"""Margin calls and stop-outs with figures worked out by hand.

One lot of EURUSD bought at 1.10000 at 1:100 needs 1100 USD of margin; a point of it is 1 USD.
"""

from decimal import Decimal

import pytest

from service.domain.decision import Decision
from service.domain.instrument import TradingState
from service.domain.order import OrderType
from service.domain.sessions import parse_sessions
from tests.unit.domain.floor import LOT, SECOND, Floor, deal_of, kinds, order_of

BUY, SELL = OrderType.BUY, OrderType.SELL


def with_account(balance: str) -> Floor:
    """Return a floor where account 3 of group `market` has a balance."""
    floor = Floor()
    floor.add_account(3, balance=balance)
    for symbol, price in (("EURUSD", 110_000), ("GBPUSD", 125_000), ("USDJPY", 150_000)):
        floor.tick(symbol, price, price)
    return floor


def opened(floor: Floor, order_type: OrderType, symbol: str = "EURUSD", lots: int = 1) -> int:
    decision = floor.place(order_type, account=3, symbol=symbol, volume=lots * LOT)
    return order_of(decision).order_id


@pytest.mark.parametrize(
    ("price", "decided"),
    [
        (109_100, []),
        (109_099, ["MARGIN_CALLED"]),
        (108_550, ["MARGIN_CALLED"]),
        (108_549, ["MARGIN_CALLED", "CLOSED STOP_OUT"]),
        (107_999, ["MARGIN_CALLED", "CLOSED STOP_OUT"]),
    ],
)
def test_an_account_is_called_below_100_percent_and_stopped_out_below_50(
    price: int, decided: list[str]
) -> None:
    floor = with_account("2000")
    opened(floor, BUY)
    assert kinds(floor.tick("EURUSD", price, price)) == decided


def test_a_margin_call_comes_once_until_it_has_recovered_by_the_hysteresis() -> None:
    floor = with_account("2000")
    opened(floor, BUY)
    table: tuple[tuple[int, list[str], bool], ...] = (
        (109_099, ["MARGIN_CALLED"], True),
        (109_000, [], True),
        (109_154, [], True),
        (109_099, [], True),
        (109_155, ["MARGIN_RESTORED"], False),
        (109_100, [], False),
        (109_099, ["MARGIN_CALLED"], True),
    )
    for price, decided, is_called in table:
        assert kinds(floor.tick("EURUSD", price, price)) == decided
        assert floor.desk.accounts[3].in_margin_call is is_called


def closed(decisions: list[Decision]) -> list[tuple[int, int | None, str]]:
    """Return order, price and balance after of each closing."""
    deals = [(order_of(d).order_id, d.deal) for d in decisions if d.deal is not None]
    return [(number, deal.price, str(deal.balance_after)) for number, deal in deals]


@pytest.mark.parametrize(
    ("price", "stopped"),
    [
        (109_050, [("two", 109_050, "3100.00")]),
        (
            106_500,
            [
                ("two", 106_500, "-2000.00"),
                ("one", 106_500, "-5500.00"),
                ("pound", 125_000, "-5500.00"),
            ],
        ),
    ],
)
def test_the_largest_loss_is_closed_first_and_then_the_level_is_looked_at_again(
    price: int, stopped: list[tuple[str, int, str]]
) -> None:
    floor = with_account("5000")
    orders = {
        "pound": opened(floor, BUY, "GBPUSD"),
        "one": opened(floor, BUY),
        "two": opened(floor, BUY, lots=2),
    }
    assert floor.desk.accounts[3].margin == 4550
    floor.tick("USDJPY", 150_000, 150_000)
    decisions = floor.tick("EURUSD", price, price)
    assert kinds(decisions) == ["MARGIN_CALLED", *["CLOSED STOP_OUT"] * len(stopped)]
    assert closed(decisions) == [(orders[name], *rest) for name, *rest in stopped]
    assert {deal_of(d).time for d in decisions[1:]} == {floor.now}


def test_of_equal_losses_the_older_is_closed_first() -> None:
    floor = with_account("2750")
    orders = [opened(floor, BUY), opened(floor, BUY)]
    decisions = floor.tick("EURUSD", 109_000, 109_000)
    assert closed(decisions) == [(orders[0], 109_000, "1750.00")]


@pytest.mark.parametrize(
    ("bid", "decided"),
    [
        (109_900, []),
        (109_899, ["MARGIN_CALLED"]),
        (109_350, ["MARGIN_CALLED"]),
        (109_349, ["MARGIN_CALLED", "CLOSED STOP_OUT", "CLOSED STOP_OUT"]),
    ],
)
def test_a_hedged_account_needs_one_leg_and_falls_by_the_spread(
    bid: int, decided: list[str]
) -> None:
    floor = with_account("1200")
    orders = [opened(floor, BUY), opened(floor, SELL)]
    assert floor.desk.accounts[3].margin == 1100
    decisions = floor.tick("EURUSD", bid, 110_000)
    assert kinds(decisions) == decided
    if len(decided) == 3:
        assert closed(decisions) == [(orders[0], bid, "549.00"), (orders[1], 110_000, "549.00")]


@pytest.mark.parametrize(("rate", "decided"), [(111_112, []), (111_111, ["MARGIN_CALLED"])])
def test_a_conversion_rate_alone_can_call_an_account(rate: int, decided: list[str]) -> None:
    floor = with_account("2000")
    floor.tick("EURJPY", 165_000, 165_000)
    opened(floor, BUY, "EURJPY")
    assert floor.desk.accounts[3].margin == 1100
    assert floor.tick("EURJPY", 164_000, 164_000) == []
    assert kinds(floor.tick("USDJPY", rate, rate)) == decided


@pytest.mark.parametrize(
    ("price", "decided"),
    [
        (108_901, ["MARGIN_CALLED"]),
        (108_900, ["MARGIN_CALLED", "CLOSED STOP_OUT"]),
        (100_000, ["MARGIN_CALLED", "CLOSED STOP_OUT"]),
    ],
)
def test_without_equity_positions_are_closed_whatever_the_level(
    price: int, decided: list[str]
) -> None:
    floor = with_account("1100")
    floor.set_group(stop_out_level=Decimal(0))
    opened(floor, BUY)
    assert kinds(floor.tick("EURUSD", price, price)) == decided


def test_the_call_ends_with_the_last_position() -> None:
    floor = with_account("2000")
    order = opened(floor, BUY)
    floor.tick("EURUSD", 109_000, 109_000)
    assert floor.desk.accounts[3].in_margin_call
    decision = floor.close_part(order, 3)
    assert not decision.account.in_margin_call


def test_an_account_without_a_rate_is_reported_and_judged_once_there_is_one() -> None:
    floor = with_account("2000")
    floor.tick("EURJPY", 165_000, 165_000)
    stored = order_of(floor.place(BUY, account=3, symbol="EURJPY"))
    restarted = Floor()
    restarted.add_account(3, balance="2000")
    restarted.now = floor.now
    restarted.engine.load([stored])
    restarted.engine.begin()
    assert restarted.tick("EURJPY", 160_000, 160_000) == []
    assert (restarted.desk.unpriced, restarted.desk.unpriced_positions) == ({3: 1}, 1)
    decisions = restarted.tick("USDJPY", 150_000, 150_000)
    assert kinds(decisions) == ["MARGIN_CALLED", "CLOSED STOP_OUT"]
    assert deal_of(decisions[1]).profit == Decimal("-3333.33")
    assert (restarted.desk.unpriced, restarted.desk.unpriced_positions) == ({}, 0)


def test_what_may_not_be_dealt_is_left_and_the_next_loss_closed_instead() -> None:
    floor = with_account("5000")
    kept = opened(floor, BUY, lots=2)
    other = opened(floor, BUY, "GBPUSD")
    floor.tick("EURUSD", 110_000, 110_000)
    floor.set_symbol("EURUSD", trading_state=TradingState.HALTED)
    floor.tick("EURUSD", 107_000, 107_000)
    decisions = floor.tick("GBPUSD", 124_990, 124_990)
    assert kinds(decisions) == ["MARGIN_CALLED", "CLOSED STOP_OUT"]
    assert closed(decisions) == [(other, 124_990, "4990.00")]
    floor.set_symbol("EURUSD", trading_state=TradingState.CLOSE_ONLY)
    assert closed(floor.tick("EURUSD", 107_000, 107_000)) == [(kept, 107_000, "-1010.00")]


def test_a_position_whose_session_is_closed_waits_for_its_own_market() -> None:
    floor = with_account("5000")
    kept = opened(floor, BUY, lots=2)
    other = opened(floor, BUY, "GBPUSD")
    assert kinds(floor.tick("EURUSD", 108_700, 108_700)) == ["MARGIN_CALLED"]
    floor.set_symbol("EURUSD", sessions=parse_sessions("UTC: Thu 01:00-02:00"))
    decisions = floor.tick("GBPUSD", 123_000, 123_000)
    assert closed(decisions) == [(other, 123_000, "3000.00")]
    floor.now = 3600 * SECOND
    assert closed(floor.tick("EURUSD", 108_700, 108_700)) == [(kept, 108_700, "400.00")]


def test_nothing_is_judged_in_a_halted_group() -> None:
    floor = with_account("2000")
    order = opened(floor, BUY)
    floor.set_group(trading_state=TradingState.HALTED)
    assert floor.tick("EURUSD", 100_000, 100_000) == []
    floor.set_group()
    decisions = floor.tick("EURUSD", 108_000, 108_000)
    assert kinds(decisions) == ["MARGIN_CALLED", "CLOSED STOP_OUT"]
    assert closed(decisions) == [(order, 108_000, "0.00")]
