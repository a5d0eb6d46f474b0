"""Exact amounts: points, volume units and dollars.

Prices are integers in points (10^-digits of the symbol), volumes integers in 1/10,000 lot, money is
`Decimal` in the account currency (USD). Everything that decides runs under `EXACT`, a context of 34
significant digits; a quotient that does not end (a leverage of 30, a division by USDJPY) is off by
less than 1e-20 USD there, so amounts closer than `EQUAL_WITHIN` count as equal: three thirds are a
whole. Only postings are rounded, half even, to cents.
"""

from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)

ACCOUNT_CURRENCY = "USD"
VOLUME_UNITS_PER_LOT = 10_000
VOLUME_DIGITS = 4

EXACT = Context(
    prec=34, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow]
)
_UNROUNDED = Context(prec=34, traps=[InvalidOperation, Overflow, Inexact])
EQUAL_WITHIN = Decimal("1e-15")
ZERO = Decimal(0)
_NO_WHOLE = ("", "-")
CENT = Decimal("0.01")


class ScaleError(ValueError):
    """A decimal has more digits than its scale allows, or is out of range."""


def to_cents(amount: Decimal) -> Decimal:
    """Round a posting in USD half even to 0.01; zero has no sign."""
    return EXACT.plus(amount.quantize(CENT, ROUND_HALF_EVEN, EXACT))


def to_scaled(value: Decimal, digits: int) -> int:
    """Return `value` as an integer in 10^-digits.

    Raises:
        ScaleError: `value` is not finite, has more than `digits` decimals, or is absurdly large.
    """
    if not value.is_finite():
        raise ScaleError(f"{value} is not a finite number")
    if value.adjusted() + digits > 15:
        raise ScaleError(f"{value} is too large")
    try:
        return int(value.scaleb(digits, _UNROUNDED).to_integral_exact(context=_UNROUNDED))
    except Inexact:
        raise ScaleError(f"{value} has more than {digits} decimals") from None


def parse_scaled(text: str, digits: int) -> int:
    """Read a plain decimal, with no more than `digits` decimals, as an integer in 10^-digits.

    It takes a tenth of the time of `to_scaled`: for what `format_scaled` has written.

    Raises:
        ValueError: it is no plain decimal.
        ScaleError: it has more decimals, or nothing before them.
    """
    whole, _, decimals = text.partition(".")
    if len(decimals) > digits:
        raise ScaleError(f"{text} has more than {digits} decimals")
    if whole in _NO_WHOLE:
        raise ScaleError(f"{text!r} is no plain decimal")
    return int(whole + decimals.ljust(digits, "0"))


def format_scaled(value: int, digits: int) -> str:
    """Write an integer in 10^-digits as a plain decimal string, without exponent."""
    if digits == 0:
        return str(value)
    sign = "-" if value < 0 else ""
    text = str(abs(value)).rjust(digits + 1, "0")
    return f"{sign}{text[:-digits]}.{text[-digits:]}"


def format_money(amount: Decimal) -> str:
    """Write an amount of USD rounded half even to cents, without exponent."""
    text = str(amount) if amount else "0.00"
    return text if text[-3:-2] == "." else str(to_cents(amount))
