"""What is told of a user after his order opened or closed: caches and channels, one by one.

Also how prices and settings are read, one by one.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tests.bench.before.cache import (
    SELECT_ORDERS,
    Fields,
    encode,
    group_price_key,
    last_price_key,
    order_fields,
    portfolio_key,
    read,
    settings_key,
    static_orders_key,
    user_fields,
    user_key,
)
from tests.bench.before.market import Price
from tests.bench.before.money import portfolio
from tests.bench.before.stores import Session, Stores

MARKET_CHANNEL = "market_data_updates"
ORDER_CHANNEL = "order_updates"
USER_CHANNEL = "user_data_updates"


def price_of(fields: Mapping[str, str]) -> Price:
    return Price(Decimal(fields["sell"]), Decimal(fields["buy"]))


def price_json(price: Price) -> str:
    return json.dumps({"sell": str(price.bid), "buy": str(price.ask)})


async def group_prices(stores: Stores, group: str, symbols: list[str]) -> dict[str, Price]:
    """Return the prices of a group, symbol by symbol; the raw one where it has none."""
    prices = {}
    for symbol in symbols:
        found = await read(stores, group_price_key(group, symbol))
        if found is None:
            found = await read(stores, last_price_key(symbol))
        if found is not None:
            prices[symbol] = price_of(found)
    return prices


async def prices_at_once(stores: Stores, group: str, symbols: list[str]) -> dict[str, Price]:
    """Return the prices of a group in one call; the raw one where it has none."""
    keys = [group_price_key(group, symbol) for symbol in symbols]
    keys += [last_price_key(symbol) for symbol in symbols]
    found = await stores.redis.mget(keys)
    raw = found[len(symbols) :]
    return {
        symbol: price_of(json.loads(text))
        for symbol, own, last in zip(symbols, found, raw, strict=False)
        if (text := own or last) is not None
    }


async def settings_of(stores: Stores, group: str, symbol: str) -> Fields:
    found = await read(stores, settings_key(group, symbol))
    assert found is not None, f"no settings of {group} on {symbol}"
    return found


async def conversion_prices(stores: Stores, currency: str) -> dict[str, Price]:
    """Return the raw price of the pair that converts a currency to USD."""
    if currency != "USD":
        for pair in (f"{currency}USD", f"USD{currency}"):
            found = await read(stores, last_price_key(pair))
            if found is not None:
                return {pair: price_of(found)}
    return {}


async def live_orders(session: Session, user_id: int) -> tuple[list[Fields], list[Fields]]:
    """Return a user's open and pending orders in two queries."""
    open_rows = await session.fetch(
        SELECT_ORDERS + "WHERE o.account_id = $1 AND o.status = 'OPEN'", user_id
    )
    pending_rows = await session.fetch(
        SELECT_ORDERS + "WHERE o.account_id = $1 AND o.status = 'PENDING'", user_id
    )
    return list(map(order_fields, open_rows)), list(map(order_fields, pending_rows))


async def tell_user(stores: Stores, session: Session, order: Mapping[str, Any]) -> None:
    """Refresh a user's caches from the database after a commit, and publish that he changed."""
    user_type, user_id, group = order["user_type"], order["user_id"], order["group_name"]
    row = await session.fetchrow("SELECT * FROM accounts WHERE account_id = $1", user_id)
    assert row is not None
    user = user_fields(row)
    opened, pending = await live_orders(session, user_id)
    symbols = [row["symbol"] for row in await session.fetch("SELECT symbol FROM symbols")]
    prices = await group_prices(stores, group, symbols)
    settings = {
        (group, symbol): await settings_of(stores, group, symbol)
        for symbol in {each["symbol"] for each in opened}
    }
    worth = portfolio(user, opened, prices, settings)
    redis = stores.redis
    await redis.set(user_key(user_type, user_id), encode(user))
    static = {"open_orders": opened, "pending_orders": pending}
    await redis.set(static_orders_key(user_type, user_id), encode(static))
    await redis.set(portfolio_key(user_type, user_id), encode(worth))
    told = json.dumps({"user_id": user_id, "user_type": user_type})
    await redis.publish(ORDER_CHANNEL, told)
    await redis.publish(USER_CHANNEL, told)
    await redis.publish(MARKET_CHANNEL, json.dumps({"symbol": "TRIGGER"}))
