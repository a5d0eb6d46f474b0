"""Looks for stop losses and take profits that a price reaches: three calls for every open order.

Two queries find the open positions of a symbol, live and demo, whether they are protected or not.
Each is then read again, and its user, and its group's price.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from tests.bench.before.cache import SELECT_ORDERS, group_price_key, order_fields, read
from tests.bench.before.closing import close_position
from tests.bench.before.market import EPSILON, Triggered, closing_side
from tests.bench.before.stores import Session, Stores
from tests.bench.before.user_state import price_of

STOP_LOSS, TAKE_PROFIT = "STOP_LOSS", "TAKE_PROFIT"
USER_TYPES = ("live", "demo")
_SELECT_OPEN = """
SELECT o.order_id FROM orders o JOIN accounts a USING (account_id)
WHERE o.symbol = $1 AND o.status = 'OPEN' AND a.user_type = $2 AND a.group_name = ANY ($3)
ORDER BY o.order_id
"""


async def check_positions(
    stores: Stores, session: Session, symbol: str, groups: Sequence[str], time: int
) -> list[Triggered]:
    """Close what of these groups the last price of a symbol has reached."""
    closed = []
    for user_type in USER_TYPES:
        for row in await session.fetch(_SELECT_OPEN, symbol, user_type, groups):
            done = await _check(stores, session, row["order_id"], time)
            if done is not None:
                closed.append(done)
    return closed


async def _check(stores: Stores, session: Session, order_id: int, time: int) -> Triggered | None:
    row = await session.fetchrow(SELECT_ORDERS + "WHERE o.order_id = $1", order_id)
    assert row is not None
    order = order_fields(row)
    stores.log.info("Checking SL/TP of order %s (%s)", order_id, order["symbol"])
    user = await session.fetchrow("SELECT * FROM accounts WHERE account_id = $1", order["user_id"])
    assert user is not None
    found = await read(stores, group_price_key(user["group_name"], order["symbol"]))
    if found is None:
        return None
    price = price_of(found)
    reason = _reached(stores, order, closing_side(order["order_type"], price))
    if reason is None:
        return None
    return await close_position(stores, session, order, reason, price, time)


def _reached(stores: Stores, order: Mapping[str, Any], market: Decimal) -> str | None:
    """Return which level is reached, the stop loss first; up to nine log lines tell of it."""
    info = stores.log.info
    order_id, is_long = order["order_id"], order["order_type"].startswith("BUY")
    reason = None
    for name, text, fires_below in (
        (STOP_LOSS, order["stop_loss"], is_long),
        (TAKE_PROFIT, order["take_profit"], not is_long),
    ):
        if text is None:
            info("Order %s: no %s is set", order_id, name)
            continue
        level = Decimal(text)
        info("Order %s: %s is %s, market %s", order_id, name, level, market)
        info("Order %s: difference %s", order_id, market - level)
        is_near = abs(market - level) < EPSILON
        info("Order %s: within %s: %s", order_id, EPSILON, is_near)
        reached = is_near or (market <= level if fires_below else market >= level)
        info("Order %s: %s reached: %s", order_id, name, reached)
        if reached and reason is None:
            reason = name
    return reason
