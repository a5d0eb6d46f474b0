"""Trailing stops: a stop loss that follows the closing price at a distance, and never goes back."""

from service.domain.order import Order


def trailed_stop(order: Order) -> int | None:
    """Return where the stop loss of a position belongs now, in points; None: nowhere yet.

    For a long the better of what it is and the group's sell price less `trailing_distance`;
    mirrored for a short. A stop loss is above zero.
    """
    terms, stop_loss, distance = order.terms, order.stop_loss, order.trailing_distance
    if distance is None or not terms.is_priced:
        return stop_loss
    if order.order_type.is_buy:
        candidate = terms.sell - distance
        if candidate <= 0:
            return stop_loss
        return candidate if stop_loss is None else max(stop_loss, candidate)
    candidate = terms.buy + distance
    return candidate if stop_loss is None else min(stop_loss, candidate)
