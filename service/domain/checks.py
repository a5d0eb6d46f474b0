"""Checks of an order's own terms, shared by commands and scenario files."""

from service.domain.instrument import Symbol
from service.domain.market import Terms
from service.domain.money import VOLUME_DIGITS, format_scaled
from service.domain.order import OrderType
from service.domain.rejection import RejectCode, Rejected


def check_volume(symbol: Symbol, volume: int) -> None:
    """Reject a volume outside the symbol's limits or off its step."""
    if not symbol.min_volume <= volume <= symbol.max_volume or volume % symbol.volume_step:
        raise Rejected(
            RejectCode.INVALID_VOLUME,
            f"volume of {symbol.name} must be {_lots(symbol.min_volume)} to "
            f"{_lots(symbol.max_volume)} lots in steps of {_lots(symbol.volume_step)}",
            "volume",
        )


def _lots(volume: int) -> str:
    return format_scaled(volume, VOLUME_DIGITS)


def check_protection(
    order_type: OrderType, price: int | None, stop_loss: int | None, take_profit: int | None
) -> None:
    """Reject a stop loss beyond the take profit, or either on the wrong side of `price`."""
    sign = 1 if order_type.is_buy else -1
    sides = ("below", "above") if order_type.is_buy else ("above", "below")
    for level, code, field in (
        (stop_loss, RejectCode.INVALID_STOP_LOSS, "stop_loss"),
        (take_profit, RejectCode.INVALID_TAKE_PROFIT, "take_profit"),
    ):
        if level is not None and level <= 0:
            raise Rejected(code, f"{field} must be above zero, or left out", field)
    if price is not None:
        if stop_loss is not None and sign * stop_loss >= sign * price:
            raise Rejected(
                RejectCode.INVALID_STOP_LOSS,
                f"stop_loss must be {sides[0]} the order's price",
                "stop_loss",
            )
        if take_profit is not None and sign * take_profit <= sign * price:
            raise Rejected(
                RejectCode.INVALID_TAKE_PROFIT,
                f"take_profit must be {sides[1]} the order's price",
                "take_profit",
            )
    if stop_loss is not None and take_profit is not None and sign * stop_loss >= sign * take_profit:
        raise Rejected(
            RejectCode.INVALID_STOP_LOSS, f"stop_loss must be {sides[0]} take_profit", "stop_loss"
        )


def check_not_reached(
    terms: Terms, order_type: OrderType, stop_loss: int | None, take_profit: int | None
) -> None:
    """Reject a stop loss or take profit that the market has already reached."""
    sign = 1 if order_type.is_buy else -1
    market_price = terms.sell if order_type.is_buy else terms.buy
    if stop_loss is not None and sign * market_price <= sign * stop_loss:
        raise Rejected(
            RejectCode.INVALID_STOP_LOSS, "the market has already reached stop_loss", "stop_loss"
        )
    if take_profit is not None and sign * market_price >= sign * take_profit:
        raise Rejected(
            RejectCode.INVALID_TAKE_PROFIT,
            "the market has already reached take_profit",
            "take_profit",
        )
