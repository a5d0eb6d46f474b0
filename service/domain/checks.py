"""Checks of an order's own terms, shared by commands and scenario files."""

from service.domain.instrument import Symbol
from service.domain.market import Terms
from service.domain.money import VOLUME_DIGITS, format_scaled
from service.domain.order import OrderKind, OrderType
from service.domain.rejection import RejectCode, Rejected


def check_state(terms: Terms, *, opens: bool) -> None:
    """Reject what the trading states of symbol and group do not allow."""
    name = terms.market.symbol.name
    if not terms.may_close:
        raise Rejected(RejectCode.TRADING_HALTED, f"trading in {name} is halted: try again later")
    if opens and not terms.may_open:
        raise Rejected(
            RejectCode.CLOSE_ONLY, f"positions in {name} can only be closed now: try again later"
        )


def check_volume(symbol: Symbol, volume: int, of: int | None = None) -> None:
    """Reject a volume outside the symbol's limits or off its step.

    With `of`, the volume of a position, `volume` is the part to close: all, or such that the rest
    is a volume as well.
    """
    if of is not None and volume == of:
        return
    if of is not None and of - volume < symbol.min_volume:
        raise Rejected(
            RejectCode.INVALID_VOLUME,
            f"close all {_lots(of)} lots, or leave at least {_lots(symbol.min_volume)}",
            "volume",
        )
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


def check_price(terms: Terms, order_type: OrderType, price: int) -> None:
    """Reject the price of a pending order that the market has reached already."""
    match order_type:
        case OrderType.BUY_LIMIT:
            wrong, rule = price >= terms.buy, "below the buy price"
        case OrderType.BUY_STOP | OrderType.BUY_STOP_LIMIT:
            wrong, rule = price <= terms.buy, "above the buy price"
        case OrderType.SELL_LIMIT:
            wrong, rule = price <= terms.sell, "above the sell price"
        case OrderType.SELL_STOP | OrderType.SELL_STOP_LIMIT:
            wrong, rule = price >= terms.sell, "below the sell price"
        case _:
            raise Rejected(
                RejectCode.INVALID_PRICE, "a market order has no price to change", "price"
            )
    if wrong:
        raise Rejected(
            RejectCode.WRONG_SIDE_OF_MARKET, f"the price of a {order_type} must be {rule}", "price"
        )


def check_limit_price(order_type: OrderType, price: int | None, limit_price: int | None) -> None:
    """Reject a limit price without a stop-limit order, or on the wrong side of its stop price."""
    if order_type.kind is not OrderKind.STOP_LIMIT:
        if limit_price is None:
            return
        rule = "is for a BUY_STOP_LIMIT or SELL_STOP_LIMIT: leave it out"
    else:
        assert price is not None
        sign, side = (1, "below") if order_type.is_buy else (-1, "above")
        if limit_price is not None and limit_price > 0 and sign * limit_price < sign * price:
            return
        rule = f"of a {order_type} must be {side} its price, and above zero"
    raise Rejected(RejectCode.INVALID_LIMIT_PRICE, f"limit_price {rule}", "limit_price")


def check_trailing_distance(distance: int | None) -> None:
    """Reject a trailing distance that is none."""
    if distance is not None and distance <= 0:
        raise Rejected(
            RejectCode.INVALID_TRAILING_DISTANCE,
            "trailing_distance must be above zero points, or left out",
            "trailing_distance",
        )


def check_expiry(order_type: OrderType, expires_at: int | None, now: int) -> None:
    """Reject an expiry of a market order, or one that is past."""
    if expires_at is None:
        return
    if order_type.kind is OrderKind.MARKET:
        rule = "is for pending orders: leave it out"
    elif expires_at <= now:
        rule = "must be in the future"
    else:
        return
    raise Rejected(RejectCode.INVALID_EXPIRY, f"expires_at {rule}", "expires_at")
