"""Swap with figures worked out by hand, through the clock changes of New York.

One lot of EURUSD: a point is 1 USD. 2024: clocks go forward on March 10, back on November 3.
"""

from decimal import Decimal

import pytest

from service.domain.decision import Decision
from service.domain.desk import Desk
from service.domain.order import OrderType
from service.domain.swap import charge_swap, owe_swaps
from tests.unit.domain.floor import LOT, SECOND, Floor, deal_of, kinds, order_of, posted, utc

BUY, SELL = OrderType.BUY, OrderType.SELL
WEDNESDAY, FRIDAY = 2, 4


def floor_at(moment: str, **terms: str) -> Floor:
    """Return a floor at a moment, quoted, with swap rates in points (`long`, `short`)."""
    floor = Floor()
    for symbol in ("EURUSD", "EURJPY", "EURGBP"):
        floor.set_terms(
            "market",
            symbol,
            swap_long=Decimal(terms.get("long", "-7.3")),
            swap_short=Decimal(terms.get("short", "2.15")),
        )
    floor.now = utc(moment) - 5 * SECOND
    floor.tick("USDJPY", 150_000, 150_010)
    floor.tick("GBPUSD", 125_000, 125_020)
    floor.tick("EURJPY", 165_000, 165_000)
    floor.tick("EURGBP", 88_000, 88_000)
    floor.tick("EURUSD", 110_000, 110_000)
    return floor


def charge_all(desk: Desk) -> list[Decision]:
    """Charge everybody who owes."""
    charged = [charge_swap(desk, order) for order in list(desk.owing.values())]
    return [decision for decision in charged if decision is not None]


def run(floor: Floor, moment: str) -> list[Decision]:
    """Charge what is owed at a moment."""
    floor.now = utc(moment)
    owe_swaps(floor.desk, floor.now)
    return charge_all(floor.desk)


@pytest.mark.parametrize(
    ("before", "rollover", "triple", "swap"),
    [
        ("2024-03-04 21:59:59", "2024-03-04 22:00:00", WEDNESDAY, "-7.30"),
        ("2024-03-05 21:59:59", "2024-03-05 22:00:00", WEDNESDAY, "-7.30"),
        ("2024-03-06 21:59:59", "2024-03-06 22:00:00", WEDNESDAY, "-21.90"),
        ("2024-03-07 21:59:59", "2024-03-07 22:00:00", WEDNESDAY, "-7.30"),
        ("2024-03-08 21:59:59", "2024-03-08 22:00:00", WEDNESDAY, "-7.30"),
        ("2024-03-09 21:59:59", "2024-03-09 22:00:00", WEDNESDAY, None),
        ("2024-03-10 20:59:59", "2024-03-10 21:00:00", WEDNESDAY, None),
        ("2024-03-11 20:59:59", "2024-03-11 21:00:00", WEDNESDAY, "-7.30"),
        ("2024-03-13 20:59:59", "2024-03-13 21:00:00", WEDNESDAY, "-21.90"),
        ("2024-03-08 21:59:59", "2024-03-08 22:00:00", FRIDAY, "-21.90"),
        ("2024-03-06 21:59:59", "2024-03-06 22:00:00", FRIDAY, "-7.30"),
        ("2024-03-09 21:59:59", "2024-03-09 22:00:00", None, "-7.30"),
        ("2024-03-10 20:59:59", "2024-03-10 21:00:00", None, "-7.30"),
        ("2024-11-01 20:59:59", "2024-11-01 21:00:00", WEDNESDAY, "-7.30"),
        ("2024-11-03 21:59:59", "2024-11-03 22:00:00", None, "-7.30"),
        ("2024-11-04 21:59:59", "2024-11-04 22:00:00", WEDNESDAY, "-7.30"),
        ("2024-11-06 21:59:59", "2024-11-06 22:00:00", WEDNESDAY, "-21.90"),
    ],
)
def test_a_night_is_charged_at_17_in_new_york(
    before: str, rollover: str, triple: int | None, swap: str | None
) -> None:
    floor = floor_at(before)
    floor.set_symbol("EURUSD", triple_swap_weekday=triple)
    floor.place(BUY)
    assert run(floor, before) == []
    charged = run(floor, rollover)
    if swap is None:
        assert charged == []
    else:
        (decision,) = charged
        assert posted(decision) == [("SWAP", swap)]
        assert (decision.time, decision.deal) == (utc(rollover), None)
        assert order_of(decision).swap == Decimal(swap)
        assert order_of(decision).swapped_until == utc(rollover)
        assert decision.account.balance == 1_000_000 + Decimal(swap)
    assert run(floor, rollover) == []


@pytest.mark.parametrize(
    ("symbol", "order_type", "volume", "rate", "swap"),
    [
        # points * lots * 1 USD, half even to cents
        ("EURUSD", BUY, LOT, "-7.3", "-7.30"),
        ("EURUSD", BUY, 3_300, "-7.3", "-2.41"),
        ("EURUSD", BUY, 500, "-0.1", None),
        ("EURUSD", BUY, 1_500, "-0.1", "-0.02"),
        ("EURUSD", SELL, LOT, "2.15", "2.15"),
        ("EURUSD", SELL, 2 * LOT, "-0.5", "-1.00"),
        # 10,000 JPY: a gain / ask 150.010, a loss / bid 150.000
        ("EURJPY", BUY, LOT, "100", "66.66"),
        ("EURJPY", BUY, LOT, "-100", "-66.67"),
        # 100 GBP: a gain * bid 1.25000, a loss * ask 1.25020
        ("EURGBP", SELL, LOT, "100", "125.00"),
        ("EURGBP", SELL, LOT, "-100", "-125.02"),
    ],
)
def test_the_amount_of_a_night(
    symbol: str, order_type: OrderType, volume: int, rate: str, swap: str | None
) -> None:
    floor = floor_at("2024-03-04 21:59:59", long=rate, short=rate)
    floor.place(order_type, symbol=symbol, volume=volume)
    charged = run(floor, "2024-03-04 22:00:00")
    assert [posted(decision) for decision in charged] == (
        [] if swap is None else [[("SWAP", swap)]]
    )


@pytest.mark.parametrize("triple", [WEDNESDAY, FRIDAY, None])
@pytest.mark.parametrize(
    ("start", "days"),
    [
        ("2024-03-06 12:00:00", [f"2024-03-{day:02} 23:00:00" for day in range(6, 13)]),
        (
            "2024-10-30 12:00:00",
            [f"2024-10-{day:02} 23:00:00" for day in (30, 31)]
            + [f"2024-11-{day:02} 23:00:00" for day in range(1, 6)],
        ),
    ],
)
def test_a_week_has_seven_nights_whatever_the_clocks_do(
    start: str, days: list[str], triple: int | None
) -> None:
    floor = floor_at(start)
    floor.set_symbol("EURUSD", triple_swap_weekday=triple)
    order = order_of(floor.place(BUY)).order_id
    for day in days:
        run(floor, day)
    assert floor.desk.orders[order].swap == Decimal("-51.10")
    assert floor.desk.accounts[1].balance == 1_000_000 - Decimal("51.10")


def test_rollovers_that_were_missed_are_made_up_each_rounded_by_itself() -> None:
    floor = floor_at("2024-03-06 12:00:00", long="-0.125")
    floor.place(BUY)
    (decision,) = run(floor, "2024-03-08 22:00:00")
    # Wednesday 0.375 -> 0.38, Thursday and Friday 0.125 -> 0.12 each
    assert posted(decision) == [("SWAP", "-0.62")]
    assert decision.time == utc("2024-03-08 22:00:00")


@pytest.mark.parametrize(
    ("opened", "owes"),
    [("2024-03-04 21:59:59", True), ("2024-03-04 22:00:00", False), ("2024-03-05 12:00:00", False)],
)
def test_who_opens_at_the_rollover_or_after_it_owes_nothing(opened: str, owes: bool) -> None:
    floor = floor_at(opened)
    floor.place(BUY)
    floor.now = utc(opened)
    owe_swaps(floor.desk, utc("2024-03-04 22:00:00"))
    assert bool(charge_all(floor.desk)) is owes


def test_who_closes_between_the_rollover_and_its_run_pays_with_the_closing() -> None:
    floor = floor_at("2024-03-06 21:59:59")
    floor.set_terms("market", "EURUSD", commission=Decimal("3.5"), swap_long=Decimal("-7.3"))
    order = order_of(floor.place(BUY, None, 109_000, volume=2 * LOT)).order_id
    floor.now = utc("2024-03-06 22:00:00")
    owe_swaps(floor.desk, floor.now)
    floor.tick("EURUSD", 110_000, 110_000)
    part = floor.close_part(order, volume=LOT)
    assert posted(part) == [("SWAP", "-43.80"), ("COMMISSION", "-3.50")]
    (closed,) = floor.tick("EURUSD", 109_000, 109_000)
    assert posted(closed) == [("PROFIT", "-1000.00"), ("COMMISSION", "-3.50")]
    assert (order_of(closed).swap, deal_of(closed).profit) == (Decimal("-43.80"), Decimal(-1000))
    assert charge_all(floor.desk) == []


def test_without_a_rate_it_is_owed_until_there_is_one() -> None:
    floor = floor_at("2024-03-04 21:59:59", long="-100")
    stored = order_of(floor.place(BUY, symbol="EURJPY"))
    restarted = Floor()
    restarted.set_terms("market", "EURJPY", swap_long=Decimal(-100))
    restarted.desk.tick = floor.desk.tick
    restarted.engine.load([stored])
    restarted.engine.begin()
    assert run(restarted, "2024-03-04 22:00:00") == []
    assert run(restarted, "2024-03-04 22:00:01") == []
    restarted.tick("USDJPY", 150_000, 150_000)
    assert [posted(d) for d in charge_all(restarted.desk)] == [[("SWAP", "-66.67")]]


def test_what_was_charged_is_known_after_a_restart() -> None:
    floor = floor_at("2024-03-04 21:59:59")
    floor.place(BUY)
    (charged,) = run(floor, "2024-03-04 22:00:00")
    restarted = Floor()
    restarted.set_terms("market", "EURUSD", swap_long=Decimal("-7.3"))
    restarted.engine.load([order_of(charged)])
    assert run(restarted, "2024-03-04 23:00:00") == []
    (again,) = run(restarted, "2024-03-05 23:00:00")
    assert order_of(again).swap == Decimal("-14.60")


def test_the_oldest_owes_first() -> None:
    floor = floor_at("2024-03-04 21:59:59")
    orders = [order_of(floor.place(BUY)).order_id for _ in range(3)]
    floor.now = utc("2024-03-04 22:00:00")
    owe_swaps(floor.desk, floor.now)
    charged = charge_all(floor.desk)
    assert [order_of(decision).order_id for decision in charged] == orders
    assert kinds(charged) == ["SWAP_CHARGED"] * 3
    assert charge_all(floor.desk) == []
