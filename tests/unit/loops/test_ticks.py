"""The path of quotes: what is counted and timed of them, whatever engine takes them."""

import time

import pytest

from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.quote import Quote, QuoteGuard
from service.instruments import Instruments
from service.loops.ticks import AGE_INTERVAL_NS, Ticks
from service.scenario.instruments import INSTRUMENTS
from telemetry import catalogue

SYMBOL = INSTRUMENTS[0].symbol
NOW = 1_767_607_200_000_000_000


class Following(Ticks):
    """Ticks that nobody judges."""

    def start_over(self, error: Exception) -> None:
        raise error


def engine(tick: int = 0) -> Engine:
    desk = Desk()
    desk.set_symbol(SYMBOL)
    desk.tick = tick
    return Engine(desk, QuoteGuard(check_jumps=False))


@pytest.fixture
def instruments() -> Instruments:
    return Instruments()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The Unix time, ns, for as long as the test."""
    now = [NOW]
    monkeypatch.setattr(time, "time_ns", lambda: now[0])
    return now


def quote(now: int) -> Quote:
    return Quote(SYMBOL.name, 108_450, 108_456, now)


def taken(instruments: Instruments) -> float:
    return instruments.metrics.counter(catalogue.QUOTES).child().now


def ages(instruments: Instruments) -> int:
    return instruments.metrics.histogram(catalogue.QUOTE_AGE).child().count


def test_quotes_are_counted_over_engines_that_begin_at_any_tick(instruments: Instruments) -> None:
    ticks = Following(instruments, engine(500))
    assert taken(instruments) == 0
    for number in range(3):
        ticks.on_quote_at(quote(NOW + number), NOW + number)
    ticks.prime(Quote("NOSUCH", 1, 2, NOW), NOW)
    assert taken(instruments) == 4
    for tick in (90_000, 0):
        ticks.follow(engine(tick))
        ticks.on_quote_at(quote(NOW), NOW)
    assert taken(instruments) == 6


def test_an_age_is_taken_once_in_a_while(instruments: Instruments, clock: list[int]) -> None:
    ticks = Following(instruments, engine())
    for _ in range(3):
        ticks.on_quote(quote(clock[0]))
        clock[0] += AGE_INTERVAL_NS // 2
    assert ages(instruments) == 2
    assert taken(instruments) == 3


def test_a_clock_that_was_set_back_stops_no_ages(
    instruments: Instruments, clock: list[int]
) -> None:
    ticks = Following(instruments, engine())
    ticks.on_quote(quote(clock[0]))
    clock[0] -= 3_600_000_000_000
    ticks.mark_rollover(clock[0])  # as a loop does once a second
    ticks.on_quote(quote(clock[0]))
    assert ages(instruments) == 2


def test_a_quote_that_comes_late_is_guarded_by_when_the_feed_got_it(
    instruments: Instruments, clock: list[int]
) -> None:
    ticks = Following(instruments, engine())
    clock[0] += 60_000_000_000
    ticks.on_quote(quote(NOW))
    assert ticks.desk.markets[SYMBOL.name].time == 0  # a market that says nothing new for a minute
    ticks.on_quote(quote(NOW), NOW + 1_000_000)
    assert ticks.desk.markets[SYMBOL.name].time == NOW
