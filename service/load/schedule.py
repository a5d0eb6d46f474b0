"""When what is due: so many a second from a start on, however late whoever sends it comes.

A latency is taken from when a thing was due, not from when it was sent, so that a generator or a
service that hangs cannot hide what would have come meanwhile. What a generator could not send
within `MAX_BEHIND_S` is not due any more, and counted.
"""

import time

MAX_BEHIND_S = 1.0
_NS_PER_S = 1_000_000_000


class Clock:
    """Unix time in nanoseconds, which goes on with the monotonic clock and is never set."""

    def __init__(self) -> None:
        self._offset = time.time_ns() - time.perf_counter_ns()

    def now(self) -> int:
        return self._offset + time.perf_counter_ns()


class Schedule:
    """The times, ns, of what is due `per_s` times a second after `start`."""

    def __init__(self, per_s: float, start: int) -> None:
        self._interval = _NS_PER_S / per_s
        self._start = start
        self._taken = 0
        self.skipped = 0

    @property
    def next(self) -> int:
        """When the next one is due."""
        return self._time(self._taken)

    def due(self, now: int) -> list[int]:
        """Take what has become due by `now`: its times."""
        end = int((now - self._start) / self._interval) + 1
        earliest = int((now - MAX_BEHIND_S * _NS_PER_S - self._start) / self._interval)
        if earliest > self._taken:
            self.skipped += earliest - self._taken
            self._taken = earliest
        taken, self._taken = self._taken, max(end, self._taken)
        return [self._time(number) for number in range(taken, self._taken)]

    def _time(self, number: int) -> int:
        return self._start + int(number * self._interval)
