"""One number of many parts: a process has several shards, and exports their sum."""

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
