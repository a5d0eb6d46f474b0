"""An endless tape of made-up quotes: random walks with calm, normal and hectic spells.

Prices are walks that are drawn back to where they started, so that they stay near it for good.
The market's mood is shared: a burst quotes some twenty times as fast, moves further and widens the
spreads; calm does the opposite. Now and then one instrument gaps. Every quote is positive and
uncrossed. The tape depends on nothing but its instruments and the random source.
"""

from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import NamedTuple

from service.scenario.instruments import Instrument

_DRAW_BACK = 0.0005
_GAP_CHANCE = 1 / 20_000
_GAP_MOVES = 30


class _Mood(NamedTuple):
    chance: float
    shortest: int
    longest: int
    pause: float
    move: float
    spread: float


_MOODS = (
    _Mood(chance=0.6, shortest=200, longest=1_000, pause=1.0, move=1.0, spread=1.0),
    _Mood(chance=0.2, shortest=50, longest=200, pause=2.0, move=0.5, spread=0.8),
    _Mood(chance=0.2, shortest=50, longest=300, pause=0.05, move=2.5, spread=1.8),
)


class TapeTick(NamedTuple):
    """A quote in points, and the pause before it, in units of the mean interval of all quotes."""

    symbol: str
    bid: int
    ask: int
    pause: float


class Tape:
    """Makes quotes of some instruments, one after the other, without end."""

    def __init__(self, instruments: Sequence[Instrument], random: Random) -> None:
        if not instruments:
            raise ValueError("a tape needs at least one instrument")
        self._instruments = instruments
        self._random = random
        self._mids = [float(instrument.price) for instrument in instruments]
        self._weights = list(accumulate(instrument.weight for instrument in instruments))
        self._indexes = range(len(instruments))
        self._mood = _MOODS[0]
        self._mood_left = _MOODS[0].shortest

    def advance(self) -> TapeTick:
        """Return the next quote."""
        random = self._random
        if not self._mood_left:
            self._mood = random.choices(_MOODS, [mood.chance for mood in _MOODS])[0]
            self._mood_left = random.randint(self._mood.shortest, self._mood.longest)
        self._mood_left -= 1
        mood = self._mood
        index = random.choices(self._indexes, cum_weights=self._weights)[0]
        symbol, price, spread, move, _ = self._instruments[index]
        mid = self._mids[index]
        change = random.gauss(0.0, move * mood.move) + (price - mid) * _DRAW_BACK
        if random.random() < _GAP_CHANCE:
            change += random.choice((-1, 1)) * _GAP_MOVES * move
        width = max(1, round(spread * mood.spread * random.uniform(0.8, 1.4)))
        mid = max(mid + change, width / 2 + 1)
        self._mids[index] = mid
        bid = round(mid - width / 2)
        return TapeTick(symbol.name, bid, bid + width, random.expovariate(1.0) * mood.pause)
