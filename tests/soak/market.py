"""A simulated market: prices that walk wildly around where they began, on a clock of its own.

The clock begins on a Monday to come, so that no wall clock in the service is ever ahead of it, and
never goes back.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

from service.domain.quote import Quote
from service.domain.swap import next_rollover
from tests.soak.book import INSTRUMENTS

TICK_NS = 10_000_000
NS_PER_S = 1_000_000_000
_OPENING_HOUR = 8
# Moves are this many times those of the simulated feed.
_CALM, _WILD = 4.0, 12.0
_REVERSION = 2e-5
_REGIME_TICKS = 20_000
_SHOCK_CHANCE = 1 / 15_000
_SHOCK_SHARE = (0.005, 0.04)
_WIDE_CHANCE = 0.002
_JUST_BEFORE_S = 20
_WEEKEND = (5, 6)


class Clock:
    """The time of the market, ns UTC."""

    def __init__(self) -> None:
        day = datetime.now(UTC).replace(hour=_OPENING_HOUR, minute=0, second=0, microsecond=0)
        day += timedelta(days=7 - day.weekday())
        self.now = int(day.timestamp()) * NS_PER_S

    def __call__(self) -> int:
        return self.now


class _Walk(NamedTuple):
    symbol: str
    base: int
    spread: int
    move: float


class Market:
    """Quotes of all symbols, one after the other; each moves the clock on by `TICK_NS`."""

    def __init__(self, random: Random, clock: Clock) -> None:
        self._random = random
        self._clock = clock
        self._walks = [
            _Walk(each.symbol.name, each.price, each.spread, each.move) for each in INSTRUMENTS
        ]
        self._weights = [each.weight for each in INSTRUMENTS]
        self._mids = {walk.symbol: float(walk.base) for walk in self._walks}
        self._wildness = _CALM
        self._ticks = 0

    def next(self) -> Quote:
        """Return the next quote, of the time that it moved the clock to."""
        random = self._random
        if self._ticks % _REGIME_TICKS == 0:
            self._wildness = random.choice((_CALM, _WILD))
        self._ticks += 1
        self._clock.now += TICK_NS
        (walk,) = random.choices(self._walks, self._weights)
        mid = self._mids[walk.symbol]
        mid += random.gauss(0, walk.move * self._wildness) - _REVERSION * (mid - walk.base)
        if random.random() < _SHOCK_CHANCE:
            mid *= 1 + random.choice((-1, 1)) * random.uniform(*_SHOCK_SHARE)
        # Wherever it walks, it stays in a range in which every order makes sense.
        self._mids[walk.symbol] = min(max(mid, 0.7 * walk.base), 1.4 * walk.base)
        return self._quote(walk)

    def all(self) -> Iterator[Quote]:
        """Yield a quote of each symbol at its price, all of one time."""
        self._clock.now += TICK_NS
        for walk in self._walks:
            yield self._quote(walk)

    def jump(self) -> None:
        """Move the clock over the next rollover, or to just before it; seldom into a weekend."""
        clock, random = self._clock, self._random
        rollover = next_rollover(clock.now)
        if random.random() < 0.5:
            clock.now = max(clock.now, rollover - random.randint(1, _JUST_BEFORE_S) * NS_PER_S)
        else:
            clock.now = rollover + random.randint(0, 20 * 3600) * NS_PER_S
        weekday = datetime.fromtimestamp(clock.now // NS_PER_S, UTC).weekday()
        if weekday in _WEEKEND and random.random() < 0.9:
            clock.now += (7 - weekday) * 24 * 3600 * NS_PER_S

    def _quote(self, walk: _Walk) -> Quote:
        random = self._random
        spread = max(1, round(walk.spread * random.uniform(0.5, 1.5)))
        if random.random() < _WIDE_CHANCE:
            spread *= 8
        bid = round(self._mids[walk.symbol]) - spread // 2
        return Quote(walk.symbol, bid, bid + spread, self._clock.now)
