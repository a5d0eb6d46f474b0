"""What must hold of orders, and of what engines count, once the market goes on undisturbed."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Armed(NamedTuple):
    """A live order with what arms it, as stored: normalised, so one price judges all groups."""

    order_id: int
    symbol: str
    order_type: str
    status: str
    trigger: int | None
    stop_loss: int | None
    take_profit: int | None


ARMED = """
SELECT order_id, symbol, order_type, status, trigger_price, stop_loss_trigger, take_profit_trigger
FROM orders WHERE status IN ('PENDING', 'OPEN') AND limit_price IS NULL ORDER BY order_id
"""
# Net lots by symbol, as `GET /api/v1/admin/exposure` tells them, in 1/10,000 lot.
EXPOSED = """
SELECT symbol, sum(CASE WHEN order_type LIKE 'BUY%' THEN volume ELSE 0 END)::bigint,
    sum(CASE WHEN order_type LIKE 'SELL%' THEN volume ELSE 0 END)::bigint
FROM orders WHERE status = 'OPEN' GROUP BY symbol ORDER BY symbol
"""


def crossed_faults(armed: Iterable[Armed], prices: Mapping[str, tuple[int, int]]) -> list[str]:
    """Return the orders that these last quotes, bid and ask in points, should have triggered."""
    faults = []
    for order in armed:
        if order.symbol not in prices:
            continue
        bid, ask = prices[order.symbol]
        is_buy = order.order_type.startswith("BUY")
        if order.status == "PENDING":
            price = ask if is_buy else bid
            is_below = order.order_type in ("BUY_LIMIT", "SELL_STOP")
            crossed = [("price", order.trigger, price, is_below)]
        else:
            price = bid if is_buy else ask
            crossed = [
                ("stop loss", order.stop_loss, price, is_buy),
                ("take profit", order.take_profit, price, not is_buy),
            ]
        faults += [
            f"order {order.order_id}, {order.order_type} {order.status}: {name} {level} "
            f"is crossed by {price} and has not fired"
            for name, level, price, fires_below in crossed
            if level is not None and (price <= level if fires_below else price >= level)
        ]
    return faults


def exposure_faults(
    told: Mapping[str, tuple[int, int]], stored: Mapping[str, tuple[int, int]]
) -> list[str]:
    """Return where the engines' memory holds something else than is stored: long and short."""
    return [
        f"exposure in {symbol}: engines hold {told.get(symbol, (0, 0))} (long, short), "
        f"stored are {stored.get(symbol, (0, 0))}"
        for symbol in sorted(told.keys() | stored.keys())
        if told.get(symbol, (0, 0)) != stored.get(symbol, (0, 0))
    ]
