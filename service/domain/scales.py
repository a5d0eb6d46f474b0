"""Prices and volumes as clients write them, decimals, in the integers of the domain."""

from decimal import Decimal

from service.domain.instrument import Symbol
from service.domain.money import VOLUME_DIGITS, ScaleError, to_scaled
from service.domain.rejection import RejectCode, Rejected


def points(price: Decimal | None, symbol: Symbol, code: RejectCode, field: str) -> int | None:
    """Return a price in points of its symbol, None for none; reject too many decimals."""
    if price is None:
        return None
    try:
        return to_scaled(price, symbol.digits)
    except ScaleError:
        raise Rejected(
            code, f"{field} of {symbol.name} takes at most {symbol.digits} decimals", field
        ) from None


def volume_units(
    lots: Decimal, field: str = "volume", code: RejectCode = RejectCode.INVALID_VOLUME
) -> int:
    """Return lots in 1/10,000 lot; reject more than four decimals."""
    try:
        return to_scaled(lots, VOLUME_DIGITS)
    except ScaleError:
        raise Rejected(code, f"{field} takes at most {VOLUME_DIGITS} decimals", field) from None
