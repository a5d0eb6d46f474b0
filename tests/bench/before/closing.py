"""Closes a position whose stop loss or take profit was reached, on the session of the pass."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tests.bench.before.cache import LOTS, SELECT_ORDERS, order_fields
from tests.bench.before.market import CENT, Price, Prices, Triggered, closing_side, to_usd
from tests.bench.before.money import ZERO, commission, hedged_margin, profit
from tests.bench.before.opening import ADD_ACTION
from tests.bench.before.stores import Session, Stores
from tests.bench.before.user_state import conversion_prices, settings_of, tell_user

_ADD_ENTRY = """
INSERT INTO ledger (account_id, order_id, kind, amount, balance_after, time)
VALUES ($1, $2, $3, $4, $5, $6)
"""


async def close_position(
    stores: Stores,
    session: Session,
    order: Mapping[str, Any],
    reason: str,
    price: Price,
    time: int,
) -> Triggered | None:
    """Close one position at its group's price; None: it was not open any more."""
    settings = await settings_of(stores, order["group_name"], order["symbol"])
    rates = await conversion_prices(stores, settings["profit_currency"])
    is_closed = await settle(session, order, reason, settings, price, rates, time)
    await session.commit()
    if is_closed:
        await tell_user(stores, session, order)
        stores.log.info("Order %s closed: %s", order["order_id"], reason)
    return Triggered(order["order_id"], reason) if is_closed else None


async def settle(
    session: Session,
    order: Mapping[str, Any],
    reason: str,
    settings: Mapping[str, Any],
    price: Price,
    rates: Prices,
    time: int,
) -> bool:
    """Close a position in the database, under the lock of its user: order, balance, ledger.

    The commission of its opening is charged now, with that of its closing.
    """
    order_id, user_id, symbol = order["order_id"], order["user_id"], order["symbol"]
    account = await session.fetchrow(
        "SELECT * FROM accounts WHERE account_id = $1 FOR UPDATE", user_id
    )
    assert account is not None
    positions = await session.fetch(
        SELECT_ORDERS + "WHERE o.account_id = $1 AND o.symbol = $2 AND o.status = 'OPEN'",
        user_id,
        symbol,
    )
    held = list(map(order_fields, positions))
    kept = [each for each in held if each["order_id"] != order_id]
    if len(kept) == len(held):
        return False
    info = await session.fetchrow("SELECT * FROM symbols WHERE symbol = $1", symbol)
    assert info is not None
    close_price = closing_side(order["order_type"], price)
    lots = Decimal(order["lots"])
    gross = to_usd(profit(order, close_price, settings), settings["profit_currency"], rates)
    gained = gross.quantize(CENT)
    charge = commission(lots, close_price, settings, is_entry=False)
    margin = max(ZERO, account["margin"] - hedged_margin(held) + hedged_margin(kept))
    total_charge = Decimal(order["commission"]) + charge
    balance = account["balance"] + gained - total_charge
    points = int(close_price.scaleb(info["digits"]))
    updated = await session.execute(
        "UPDATE orders SET status = 'CLOSED', close_price = $2, close_time = $3, profit = $4, "
        "commission = commission + $5, reason = $6 WHERE order_id = $1 AND status = 'OPEN'",
        *(order_id, points, time, gained, charge, reason),
    )
    assert updated == "UPDATE 1"
    await session.execute(
        "UPDATE accounts SET balance = $2, margin = $3 WHERE account_id = $1",
        *(user_id, balance, margin),
    )
    after_profit = account["balance"] + gained
    await session.execute(_ADD_ENTRY, user_id, order_id, "PROFIT", gained, after_profit, time)
    if total_charge:
        await session.execute(
            _ADD_ENTRY, user_id, order_id, "COMMISSION", -total_charge, balance, time
        )
    await session.execute(
        *(ADD_ACTION, order_id, user_id, "CLOSE", reason, int(lots / LOTS), points),
        *(gained, charge, time),
    )
    return True
