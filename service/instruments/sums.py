"""One number of many parts: a process has several shards, and exports their sum.

Or, of what all of them see, how often it was seen.
"""

from collections.abc import Callable

from telemetry.metrics import Number

Read = Callable[[], float]


class _Combined:
    """Asks all parts at scrape, and combines what they say."""

    __slots__ = ("combine", "parts")

    def __init__(self, combine: Callable[[list[float]], float]) -> None:
        self.combine = combine
        self.parts: list[Read] = []

    def __call__(self) -> float:
        return self.combine([read() for read in self.parts])


class _Once:
    """Counts what all parts see, once, as long as one of them sees all; and what was counted."""

    __slots__ = ("_number", "_seen", "_total", "parts")

    def __init__(self, number: Number) -> None:
        self._number = number
        self._total = 0.0
        self._seen: list[float] = []
        self.parts: list[Read] = []

    def __call__(self) -> float:
        counts = [read() for read in self.parts]
        before = self._seen + [0.0] * (len(counts) - len(self._seen))
        self._total += max(now - then for now, then in zip(counts, before, strict=True))
        self._seen = counts
        return self._number.value + self._total


def count_once(number: Number, read: Read) -> None:
    """Have `number` count what each of several sees, once; `read` only grows."""
    if not isinstance(number.read, _Once):
        number.read = _Once(number)
    number.read.parts.append(read)


def add_up(number: Number, read: Read) -> None:
    """Have `number` be the sum of `read` and of what was added up before."""
    _join(number, read, sum)


def take_worst(number: Number, read: Read) -> None:
    """Have `number` be the greatest of `read` and of what was taken before."""
    _join(number, read, max)


def _join(number: Number, read: Read, combine: Callable[[list[float]], float]) -> None:
    if not isinstance(number.read, _Combined):
        number.read = _Combined(combine)
    number.read.parts.append(read)
