"""Exact numbers from text: decimals, and integers in 10^-digits.

Plain decimals (`1.14605`) take a fast path without `Decimal`; an exponent is read too. Text longer
than `MAX_LENGTH` is refused, so that no number is ever rounded by the 34 digits of `EXACT`.
"""

import re
from decimal import Decimal

from service.domain.money import ScaleError, to_scaled

MAX_LENGTH = 32
_SAFE_LENGTH = 15
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?")


def read_decimal(text: str) -> Decimal:
    """Return the finite decimal that `text` writes.

    Raises:
        ScaleError: it is not a number, or longer than `MAX_LENGTH` characters.
    """
    if len(text) > MAX_LENGTH:
        raise ScaleError(f"must be a number of at most {MAX_LENGTH} characters")
    if _NUMBER.fullmatch(text) is None:
        raise ScaleError(f"must be a number, not {text!r}")
    return Decimal(text)


def read_scaled(text: str, digits: int) -> int:
    """Return the decimal that `text` writes as an integer in 10^-digits.

    Raises:
        ScaleError: it is not a number, has more than `digits` decimals, or is absurdly large.
    """
    whole, _, fraction = text.partition(".")
    missing = digits - len(fraction)
    if missing >= 0 and whole:
        joined = whole + fraction
        if len(joined) + missing <= _SAFE_LENGTH and joined.isdecimal() and joined.isascii():
            return int(joined + "0" * missing)
    value = read_decimal(text)
    try:
        return to_scaled(value, digits)
    except ScaleError as error:
        raise ScaleError(f"must be in 10^-{digits}: {error}") from None


class Scaled(dict[str, int]):
    """Text to integers in 10^-digits, remembering what it has read; bounded.

    Raises:
        ScaleError: from a look-up, for text that `read_scaled` refuses.
    """

    __slots__ = ("_digits",)
    MAX_REMEMBERED = 100_000

    def __init__(self, digits: int) -> None:
        super().__init__()
        self._digits = digits

    def __missing__(self, text: str) -> int:
        value = read_scaled(text, self._digits)
        if len(self) >= self.MAX_REMEMBERED:
            self.clear()
        self[text] = value
        return value
