"""Opens a pending order that has triggered, on a session of its own."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tests.bench.before.cache import (
    LOTS,
    SELECT_ORDERS,
    Fields,
    group_price_key,
    order_fields,
    portfolio_key,
    read,
    remove_pending,
    user_of,
)
from tests.bench.before.market import (
    Price,
    Prices,
    Triggered,
    is_reached,
    normalise,
    opening_side,
)
from tests.bench.before.money import commission, hedged_margin, order_margin
from tests.bench.before.stores import Session, Stores
from tests.bench.before.user_state import conversion_prices, price_of, settings_of, tell_user

INSUFFICIENT_MARGIN = "INSUFFICIENT_MARGIN"
ADD_ACTION = """
INSERT INTO deals (deal_id, order_id, account_id, event, reason, volume, price, profit, commission,
    balance_after, tick, time)
SELECT nextval('before_actions'), $1, $2, $3, $4, $5, $6, $7, $8, balance, 0, $9
FROM accounts WHERE account_id = $2
"""


async def open_pending(stores: Stores, order: Mapping[str, Any], time: int) -> Triggered | None:
    """Open one order; None: it was not pending any more, or its user cannot afford it."""
    group, symbol = order["group_name"], order["symbol"]
    async with stores.session() as session:
        user = await user_of(stores, session, order["user_type"], order["user_id"])
        settings = await settings_of(stores, group, symbol)
        found = await read(stores, group_price_key(group, symbol))
        assert found is not None
        worth = await read(stores, portfolio_key(order["user_type"], order["user_id"]))
        rates = await conversion_prices(stores, settings["profit_currency"])
        is_open = await fill(session, order, user, worth, settings, price_of(found), rates, time)
        await session.commit()
        await remove_pending(stores, order)
        await session.fetchrow("SELECT * FROM orders WHERE order_id = $1", order["order_id"])
        await tell_user(stores, session, order)
    stores.log.info("Order %s of user %s executed", order["order_id"], order["user_id"])
    return Triggered(order["order_id"], order["order_type"]) if is_open else None


async def fill(
    session: Session,
    order: Mapping[str, Any],
    user: Mapping[str, Any],
    worth: Fields | None,
    settings: Mapping[str, Any],
    price: Price,
    rates: Prices,
    time: int,
) -> bool:
    """Check an order once more and fill it at its group's price, or cancel it for want of margin.

    `worth` is the cached portfolio: its free margin counts, else the balance less the margin.
    """
    order_id, user_id, symbol = order["order_id"], order["user_id"], order["symbol"]
    row = await session.fetchrow(SELECT_ORDERS + "WHERE o.order_id = $1", order_id)
    if row is None or row["status"] != "PENDING":
        return False
    current = order_fields(row)
    order_type, lots = row["order_type"], row["volume"] * LOTS
    market = opening_side(order_type, price)
    if not is_reached(order_type, normalise(market), normalise(current["price"])):
        return False
    info = await session.fetchrow("SELECT * FROM symbols WHERE symbol = $1", symbol)
    assert info is not None
    positions = await session.fetch(
        SELECT_ORDERS + "WHERE o.account_id = $1 AND o.symbol = $2 AND o.status = 'OPEN'",
        user_id,
        symbol,
    )
    held = list(map(order_fields, positions))
    margin = order_margin(lots, market, Decimal(user["leverage"]), settings, rates)
    opened = {**current, "margin": str(margin)}
    additional = hedged_margin([*held, opened]) - hedged_margin(held)
    account = await session.fetchrow(
        "SELECT * FROM accounts WHERE account_id = $1 FOR UPDATE", user_id
    )
    assert account is not None
    free = account["balance"] - account["margin"]
    if worth is not None:
        free = Decimal(worth["free_margin"])
    if additional > free:
        await session.execute(
            "UPDATE orders SET status = 'CANCELLED', reason = $2, close_time = $3 "
            "WHERE order_id = $1 AND status = 'PENDING'",
            order_id,
            INSUFFICIENT_MARGIN,
            time,
        )
        return False
    await session.execute(
        "UPDATE accounts SET margin = margin + $2 WHERE account_id = $1", user_id, additional
    )
    charge = commission(lots, market, settings, is_entry=True)
    points = int(market.scaleb(info["digits"]))
    updated = await session.execute(
        "UPDATE orders SET status = 'OPEN', open_price = $2, open_time = $3, margin = $4, "
        "commission = $5 WHERE order_id = $1 AND status = 'PENDING'",
        order_id,
        points,
        time,
        margin,
        charge,
    )
    assert updated == "UPDATE 1"
    await session.execute(
        *(ADD_ACTION, order_id, user_id, "OPEN", order_type, row["volume"], points),
        *(Decimal(0), charge, time),
    )
    return True
