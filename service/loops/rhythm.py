"""When a background loop runs, how long it may take, and where it gets its time from."""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import NamedTuple

from service.loops.loop_status import LoopKind

LOOK_S = 5.0
LEAST_LOOKS = 4
_MAX_DOUBLINGS = 16  # beyond any cap, and far from what a float cannot hold


class Clock(NamedTuple):
    """What loops ask for the time: monotonic seconds, Unix seconds, and a sleep in seconds."""

    now: Callable[[], float]
    unix: Callable[[], float]
    sleep: Callable[[float], Coroutine[object, object, None]]


SYSTEM_CLOCK = Clock(time.monotonic, time.time, asyncio.sleep)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When a loop runs; seconds.

    Attributes:
        interval_s, max_interval_s: between runs, and the cap of what it grows to by failures; of a
            standing loop, before it is started again.
        deadline_s: for a run; for a standing loop, between two signs of life.

    Raises:
        ValueError: an interval or deadline that is not above 0, or an interval above its cap.
    """

    kind: LoopKind
    interval_s: float
    max_interval_s: float
    deadline_s: float

    def __post_init__(self) -> None:
        if not 0 < self.interval_s <= self.max_interval_s:
            raise ValueError(f"the interval must be above 0 and at most its cap: {self}")
        if not self.deadline_s > 0:
            raise ValueError(f"the deadline must be above 0: {self}")

    def interval_after(self, failures: int) -> float:
        """Return the interval after so many failures in a row: it doubles with each."""
        if self.kind is LoopKind.STANDING:
            if not failures:
                return 0.0
            failures -= 1
        return min(self.interval_s * 2.0 ** min(failures, _MAX_DOUBLINGS), self.max_interval_s)

    @property
    def looks(self) -> int:
        """How many looks in a row without a sign of life make a deadline."""
        return max(LEAST_LOOKS, math.ceil(self.deadline_s / LOOK_S))

    @property
    def look_s(self) -> float:
        """The time between two looks."""
        return self.deadline_s / self.looks
