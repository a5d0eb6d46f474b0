"""ISO 8601 times in UTC (`2019-01-01T23:00:00.071Z`), as nanoseconds.

The zone must be written, as Z or +00:00; up to nine decimals of a second are kept exactly.
"""

import re
from datetime import UTC, datetime

_SECOND = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")
_FRACTION = re.compile(r"(?:\.([0-9]{1,9}))?(?:Z|\+00:00)")
_SECOND_LENGTH = 19
# Nanoseconds since 1970 are stored in 64 bits.
FIRST_YEAR, LAST_YEAR = 1970, 2261
_RULE = "must be an ISO 8601 time in UTC such as 2019-01-01T23:00:00.071Z"


class Times:
    """Reads times, remembering whole seconds and fractions apart; both bounded."""

    __slots__ = ("_fractions", "_seconds")

    def __init__(self) -> None:
        self._seconds = _Seconds()
        self._fractions = _Fractions()

    def read(self, text: str) -> int:
        """Return the time in nanoseconds UTC.

        Raises:
            ValueError: it is not an ISO 8601 time in UTC.
        """
        return self._seconds[text[:_SECOND_LENGTH]] + self._fractions[text[_SECOND_LENGTH:]]


class _Remembered(dict[str, int]):
    __slots__ = ()
    MAX_REMEMBERED = 10_000

    def remember(self, text: str, value: int) -> int:
        if len(self) >= self.MAX_REMEMBERED:
            self.clear()
        self[text] = value
        return value


class _Seconds(_Remembered):
    __slots__ = ()

    def __missing__(self, text: str) -> int:
        if _SECOND.fullmatch(text) is None:
            raise ValueError(_RULE)
        try:
            moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
        except ValueError as error:
            raise ValueError(f"{_RULE}: {error}") from None
        if not FIRST_YEAR <= moment.year <= LAST_YEAR:
            raise ValueError(f"must be a time of the years {FIRST_YEAR} to {LAST_YEAR}")
        return self.remember(text, int(moment.timestamp()) * 1_000_000_000)


class _Fractions(_Remembered):
    __slots__ = ()

    def __missing__(self, text: str) -> int:
        found = _FRACTION.fullmatch(text)
        if found is None:
            raise ValueError(_RULE)
        return self.remember(text, int((found[1] or "0").ljust(9, "0")))
