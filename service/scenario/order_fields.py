"""The fields of orders.csv as numbers: each different text is read once, for a million orders hold
few different ones; bounded.

A look-up returns the number, or the rule that the text breaks. An empty text is None.
"""

import re
from abc import abstractmethod
from typing import Generic, NamedTuple, TypeVar

from service.domain.checks import check_volume
from service.domain.instrument import Symbol
from service.domain.money import VOLUME_DIGITS, ScaleError
from service.domain.rejection import Rejected
from service.scenario.decimals import read_scaled
from service.scenario.times import Times

MAX_DISTANCE_POINTS = 10**15
_MAX_REMEMBERED = 100_000
_WHOLE = re.compile(r"[0-9]{1,16}")
_DURATION = re.compile(r"PT(?=[0-9])(?:([0-9]{1,6})H)?(?:([0-9]{1,6})M)?(?:([0-9]{1,6})S)?")
_NS_PER_S = 1_000_000_000

Value = TypeVar("Value")


class Expiry(NamedTuple):
    """When a pending order expires: a time (ns UTC), or so many ns after it is placed."""

    ns: int
    is_after_placing: bool

    def at(self, placed_time: int) -> int:
        """Return the time at which an order placed at `placed_time` expires."""
        return placed_time + self.ns if self.is_after_placing else self.ns


class _Remembered(dict[str, Value | str | None], Generic[Value]):
    __slots__ = ()

    def __missing__(self, text: str) -> Value | str | None:
        value: Value | str | None
        try:
            value = self._read(text)
        except ValueError as error:
            value = str(error)
        except Rejected as rejected:
            value = rejected.detail
        if len(self) >= _MAX_REMEMBERED:
            self.clear()
        self[text] = value
        return value

    @abstractmethod
    def _read(self, text: str) -> Value | None: ...


class Volumes(_Remembered[int]):
    """Volumes that a symbol allows, in 1/10,000 lot; never empty."""

    __slots__ = ("_symbol",)

    def __init__(self, symbol: Symbol) -> None:
        super().__init__()
        self._symbol = symbol

    def _read(self, text: str) -> int:
        value = read_scaled(text, VOLUME_DIGITS)
        check_volume(self._symbol, value)
        return value


class Prices(_Remembered[int]):
    """Prices above 0, in points."""

    __slots__ = ("_digits",)

    def __init__(self, digits: int) -> None:
        super().__init__()
        self._digits = digits

    def _read(self, text: str) -> int | None:
        if not text:
            return None
        value = read_scaled(text, self._digits)
        if value <= 0:
            raise ScaleError(f"must be above 0, not {text}")
        return value


class Distances(_Remembered[int]):
    """Distances in points, whole and above 0."""

    __slots__ = ()

    def _read(self, text: str) -> int | None:
        if not text:
            return None
        value = int(text) if _WHOLE.fullmatch(text) else 0
        if not 0 < value <= MAX_DISTANCE_POINTS:
            raise ValueError(f"must be whole points above 0, not {text!r}")
        return value


class Expiries(_Remembered[Expiry]):
    """Times in UTC, or durations such as PT1H30M after an order is placed."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        super().__init__()
        self._times = Times()

    def _read(self, text: str) -> Expiry | None:
        if not text:
            return None
        if not text.startswith("P"):
            return Expiry(self._times.read(text), is_after_placing=False)
        found = _DURATION.fullmatch(text)
        hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0,) * 3
        total_s = (hours * 60 + minutes) * 60 + seconds
        if not total_s:
            raise ValueError(f"must be a duration such as PT1H30M or PT45S, not {text!r}")
        return Expiry(total_s * _NS_PER_S, is_after_placing=True)
