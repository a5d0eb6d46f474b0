"""What the loops keep in Redis: keys, and everything in them as it is while the platform runs.

Values are JSON with prices, lots and money as decimal strings.
"""

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import asyncpg

from tests.bench.before.stores import Session, Stores

Fields = dict[str, Any]

PENDING_TYPES = ("BUY_LIMIT", "BUY_STOP", "SELL_LIMIT", "SELL_STOP")
LOTS = Decimal("0.0001")
SCAN_COUNT = 100
FILLED_AT_ONCE = 1_000
SELECT_ORDERS = """
SELECT o.*, s.digits, a.group_name, a.user_type, g.spread, g.spread_pip
FROM orders o JOIN symbols s USING (symbol) JOIN accounts a USING (account_id)
JOIN group_symbols g ON g.group_name = a.group_name AND g.symbol = o.symbol
"""
_SELECT_SETTINGS = """
SELECT g.*, s.digits, s.contract_size, s.base_currency, s.profit_currency
FROM group_symbols g JOIN symbols s USING (symbol)
"""


def user_key(user_type: str, user_id: int) -> str:
    return f"user_data:{user_type}:{user_id}"


def static_orders_key(user_type: str, user_id: int) -> str:
    return f"user_static_orders:{user_type}:{user_id}"


def portfolio_key(user_type: str, user_id: int) -> str:
    return f"user_dynamic_portfolio:{user_type}:{user_id}"


def settings_key(group: str, symbol: str) -> str:
    return f"group_symbol_settings:{group}:{symbol}"


def group_price_key(group: str, symbol: str) -> str:
    return f"adjusted_market_price:{group}:{symbol}"


def last_price_key(symbol: str) -> str:
    return f"last_price:{symbol}"


def pending_key(symbol: str, order_type: str) -> str:
    """Name the hash of a symbol's pending orders of a type: a JSON list for each user."""
    return f"pending_orders:{symbol}:{order_type}"


def encode(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, default=str)


def order_fields(row: asyncpg.Record) -> Fields:
    """Return a row of `SELECT_ORDERS` as it is cached: prices as decimals, volume in lots."""
    digits = row["digits"]
    return {
        "order_id": row["order_id"],
        "user_id": row["account_id"],
        "user_type": row["user_type"],
        "group_name": row["group_name"],
        "symbol": row["symbol"],
        "order_type": row["order_type"],
        "status": row["status"],
        "lots": str(row["volume"] * LOTS),
        "price": price_text(row["price"], digits),
        "open_price": price_text(row["open_price"], digits),
        "stop_loss": price_text(row["stop_loss"], digits),
        "take_profit": price_text(row["take_profit"], digits),
        "margin": None if row["margin"] is None else str(row["margin"]),
        "commission": None if row["commission"] is None else str(row["commission"]),
        "spread": str(row["spread"]),
        "spread_pip": str(row["spread_pip"]),
        "digits": digits,
    }


def price_text(points: int | None, digits: int) -> str | None:
    return None if points is None else str(Decimal(points).scaleb(-digits))


def user_fields(row: asyncpg.Record) -> Fields:
    """Return a row of accounts as it is cached."""
    return {
        "id": row["account_id"],
        "user_type": row["user_type"],
        "group_name": row["group_name"],
        "leverage": str(row["leverage"]),
        "wallet_balance": str(row["balance"]),
        "margin": str(row["margin"]),
    }


async def fill_cache(stores: Stores) -> None:
    """Cache users, settings and pending orders of a whole database."""
    async with stores.session() as session:
        users = await session.fetch("SELECT * FROM accounts")
        settings = await session.fetch(_SELECT_SETTINGS)
        symbols = await session.fetch("SELECT symbol FROM symbols")
    values = {user_key(row["user_type"], row["account_id"]): user_fields(row) for row in users}
    values |= {settings_key(row["group_name"], row["symbol"]): dict(row) for row in settings}
    await _write(stores, values)
    for row in symbols:  # all at once would take gigabytes
        async with stores.session() as session:
            pending = await session.fetch(
                SELECT_ORDERS + "WHERE o.status = 'PENDING' AND o.symbol = $1", row["symbol"]
            )
        await add_pending(stores, map(order_fields, pending))


async def add_pending(stores: Stores, orders: Iterable[Fields]) -> None:
    """Cache pending orders beside those that are there; of users who have none there yet."""
    hashes: dict[str, dict[str, list[Fields]]] = {}
    for order in orders:
        users = hashes.setdefault(pending_key(order["symbol"], order["order_type"]), {})
        users.setdefault(str(order["user_id"]), []).append(order)
    async with stores.redis.pipeline(transaction=False) as pipe:
        for key, users in hashes.items():
            pipe.hset(key, mapping={user: json.dumps(each) for user, each in users.items()})
        await pipe.execute()


async def _write(stores: Stores, values: Mapping[str, Fields]) -> None:
    items = list(values.items())
    for start in range(0, len(items), FILLED_AT_ONCE):
        part = items[start : start + FILLED_AT_ONCE]
        await stores.redis.mset({key: encode(fields) for key, fields in part})


async def remove_pending(stores: Stores, order: Mapping[str, Any]) -> None:
    """Take an order out of its hash: read the hash, delete it, write the rest again."""
    key = pending_key(order["symbol"], order["order_type"])
    kept: dict[Any, Any] = {}
    for user, text in (await stores.redis.hgetall(key)).items():
        orders = [each for each in json.loads(text) if each["order_id"] != order["order_id"]]
        if orders:
            kept[user] = json.dumps(orders)
    await stores.redis.delete(key)
    if kept:
        await stores.redis.hset(key, mapping=kept)


async def scan_settings(stores: Stores, group: str = "*") -> dict[tuple[str, str], Fields]:
    """Return the settings of a group, or of all, by group and symbol, from a SCAN of all keys."""
    found: dict[tuple[str, str], Fields] = {}
    cursor = 0
    while True:
        cursor, keys = await stores.redis.scan(
            cursor, match=settings_key(group, "*"), count=SCAN_COUNT
        )
        if keys:
            async with stores.redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.get(key)
                for text in await pipe.execute():
                    settings = json.loads(text)
                    found[settings["group_name"], settings["symbol"]] = settings
        if not cursor:
            return found


def decode(text: str | bytes | None) -> Fields:
    """Read what must be there."""
    assert text is not None
    fields: Fields = json.loads(text)
    return fields


async def read(stores: Stores, key: str) -> Fields | None:
    text = await stores.redis.get(key)
    return None if text is None else json.loads(text)


async def user_of(stores: Stores, session: Session, user_type: str, user_id: int) -> Fields:
    """Return a user from the cache, or from the database."""
    found = await read(stores, user_key(user_type, user_id))
    if found is not None:
        return found
    row = await session.fetchrow("SELECT * FROM accounts WHERE account_id = $1", user_id)
    assert row is not None, f"no account {user_id}"
    return user_fields(row)
