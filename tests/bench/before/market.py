"""Prices: raw ones, those of a group, and what converts an amount to USD."""

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, NamedTuple

NORMALISED = Decimal("0.00001")
EPSILON = Decimal("0.00001")
CENT = Decimal("0.01")


class Price(NamedTuple):
    """A raw price, or a group's: then `bid` is what it sells at and `ask` what it buys at."""

    bid: Decimal
    ask: Decimal


Prices = Mapping[str, Price]


class Triggered(NamedTuple):
    """An order that was opened (reason: its type) or closed."""

    order_id: int
    reason: str


def group_price(price: Price, settings: Mapping[str, Any]) -> Price:
    """Return a group's price: half of its spread below and above, in whole points."""
    markup = Decimal(settings["spread"]) * Decimal(settings["spread_pip"])
    point = Decimal(1).scaleb(-settings["digits"])
    half = markup / 2
    return Price(
        price.bid - half.quantize(point, ROUND_FLOOR),
        price.ask + half.quantize(point, ROUND_CEILING),
    )


def normalise(price: Decimal | str) -> Decimal:
    return Decimal(str(price)).quantize(NORMALISED)


def is_reached(order_type: str, market: Decimal, level: Decimal) -> bool:
    """Tell whether a pending order triggers; `market` is what it would open at."""
    if abs(market - level) < EPSILON:
        return True
    return market <= level if order_type in ("BUY_LIMIT", "SELL_STOP") else market >= level


def opening_side(order_type: str, price: Price) -> Decimal:
    return price.ask if order_type.startswith("BUY") else price.bid


def closing_side(order_type: str, price: Price) -> Decimal:
    return price.bid if order_type.startswith("BUY") else price.ask


def to_usd(amount: Decimal, currency: str, prices: Prices) -> Decimal:
    """Convert an amount.

    Raises:
        LookupError: no pair converts it.
    """
    if currency == "USD":
        return amount
    if (direct := prices.get(f"{currency}USD")) is not None:
        return amount * direct.ask
    if (inverse := prices.get(f"USD{currency}")) is not None:
        return amount / inverse.ask
    raise LookupError(f"nothing converts {currency} to USD")
