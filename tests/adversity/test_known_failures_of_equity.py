"""How an account's worth has failed in practice: not judged, guessed, or half of it left out.

Each test is named after the failure that it would have caught, and says how that came about. What
other tests catch already is listed in `tests/adversity/test_known_failures.py`.
"""

from decimal import Decimal

import pytest

from service.domain.decision import EventKind
from service.domain.money import to_cents
from service.domain.order import CloseReason, OrderType
from service.domain.rejection import RejectCode, Rejected
from service.domain.swap import charge_swap, next_rollover, owe_swaps
from tests.unit.domain.floor import LOT, Floor, deal_of, order_of

POOR = 3  # an account with little


@pytest.fixture
def floor() -> Floor:
    """Account 3 has 2,000 USD at 1:100, is called below 100 % and stopped out below 50 %."""
    floor = Floor()
    floor.add_account(POOR, balance="2000")
    floor.tick("USDJPY", 150_000, 150_010)
    floor.tick("EURUSD", 110_000, 110_010)
    return floor


@pytest.mark.parametrize(
    ("bid", "profit"),
    [(108_010, "-2000.00"), (108_009, "-2001.00"), (100_000, "-10010.00")],
)
def test_equity_of_zero_or_less_not_cut_off(floor: Floor, bid: int, profit: str) -> None:
    """A margin level of zero meant no margin, and cut-off asked for one above zero."""
    floor.place(OrderType.BUY, account=POOR)
    decisions = floor.tick("EURUSD", bid, bid + 10)
    assert [each.kind for each in decisions] == [EventKind.MARGIN_CALLED, EventKind.CLOSED]
    deal = deal_of(decisions[1])
    assert (deal.reason, deal.profit) == (CloseReason.STOP_OUT, Decimal(profit))
    assert floor.desk.accounts[POOR].exposures == {}


def test_stop_out_of_everything_at_a_raw_price(floor: Floor) -> None:
    """All positions were closed at once, at prices without the group's spread."""
    floor.set_terms("market", "EURUSD", markup=4)  # bought at 1.10012, sold 2 points below the bid
    floor.place(OrderType.BUY, account=POOR, volume=LOT // 2)
    larger = order_of(floor.place(OrderType.BUY, account=POOR))
    # Margin 1,650.18: cut off below 825.09, which is when 1.5 lots have lost 1,174.91.
    assert [each.kind for each in floor.tick("EURUSD", 109_231, 109_241)] == [
        EventKind.MARGIN_CALLED
    ]
    closed, restored = floor.tick("EURUSD", 109_230, 109_240)
    assert order_of(closed).order_id == larger.order_id
    assert (deal_of(closed).price, deal_of(closed).profit) == (109_228, Decimal("-784.00"))
    assert restored.kind is EventKind.MARGIN_RESTORED


def test_equity_of_the_changed_symbols_alone(floor: Floor) -> None:
    """What had not been quoted in a message was worth nothing: equity flipped with each of them."""
    floor.place(OrderType.BUY, account=POOR, volume=LOT // 2)
    floor.place(OrderType.BUY, account=POOR, volume=LOT // 2, symbol="USDJPY")
    floor.tick("USDJPY", 153_047, 153_057)
    assert worth(floor) == Decimal("2987.11")  # 151,850 yen at 153.057, and 5 dollars of spread
    # A loss of 1,005.00 in one symbol is borne by the other...
    assert floor.tick("EURUSD", 108_000, 108_010) == []
    assert worth(floor) == Decimal("1987.11")
    # ... and still counts when only the other one moves, which now costs 500 yen at 150.000.
    decisions = floor.tick("USDJPY", 150_000, 150_010)
    assert [each.kind for each in decisions] == [EventKind.MARGIN_CALLED]
    assert worth(floor) == Decimal("991.67")


def worth(floor: Floor) -> Decimal:
    equity = floor.desk.accounts[POOR].equity()
    assert equity is not None
    return to_cents(equity)


def test_conversion_that_fails_taken_for_one_to_one(floor: Floor) -> None:
    """Without a rate the amount was taken as it was: yen were credited as dollars."""
    floor.tick("EURJPY", 165_000, 165_010)
    order = order_of(floor.place(OrderType.BUY, stop_loss=164_000, symbol="EURJPY"))
    fresh = Floor()  # a process that has not heard of the rate yet
    fresh.now, fresh.desk.tick = floor.now, floor.desk.tick
    fresh.engine.load([order])
    fresh.engine.begin()
    account = fresh.desk.accounts[1]
    assert fresh.tick("EURJPY", 163_900, 163_910) == []
    assert account.equity() is None
    with pytest.raises(Rejected) as refused:
        fresh.close(order.order_id)
    assert refused.value.code is RejectCode.NO_RATE
    owe_swaps(fresh.desk, next_rollover(fresh.now))
    assert [charge_swap(fresh.desk, each) for each in list(fresh.desk.owing.values())] == [None]
    assert account.balance == 1_000_000
    fresh.tick("USDJPY", 150_000, 150_010)
    (deal,) = fresh.deals("EURJPY", 163_900, 163_910)
    assert deal.profit == Decimal("-740.00")  # 111,000 yen lost at 150.000: what they cost
