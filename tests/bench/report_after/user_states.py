"""What is told of users whose orders opened or closed: once a user, prices and settings once."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.bench.before.cache import (
    Fields,
    decode,
    encode,
    portfolio_key,
    settings_key,
    static_orders_key,
    user_fields,
    user_key,
)
from tests.bench.before.money import portfolio
from tests.bench.before.stores import Session, Stores
from tests.bench.before.user_state import (
    MARKET_CHANNEL,
    ORDER_CHANNEL,
    USER_CHANNEL,
    live_orders,
    prices_at_once,
)

Settings = dict[tuple[str, str], Fields]


async def settings_at_once(stores: Stores, pairs: Iterable[tuple[str, str]]) -> Settings:
    """Return the settings of groups on symbols in one call."""
    wanted = sorted(set(pairs))
    if not wanted:
        return {}
    found = await stores.redis.mget([settings_key(*pair) for pair in wanted])
    return {pair: decode(text) for pair, text in zip(wanted, found, strict=True)}


async def users_at_once(
    stores: Stores, users: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], Fields]:
    """Return cached users in one call."""
    wanted = sorted(set(users))
    found = await stores.redis.mget([user_key(*user) for user in wanted])
    return {user: decode(text) for user, text in zip(wanted, found, strict=True)}


async def tell_users(stores: Stores, session: Session, orders: Sequence[Mapping[str, Any]]) -> None:
    """Refresh the caches of the users of these orders after a commit, and publish each order."""
    held: dict[int, tuple[Fields, list[Fields], list[Fields]]] = {}
    for user_id in {order["user_id"] for order in orders}:
        row = await session.fetchrow("SELECT * FROM accounts WHERE account_id = $1", user_id)
        assert row is not None
        held[user_id] = (user_fields(row), *await live_orders(session, user_id))
    symbols = [row["symbol"] for row in await session.fetch("SELECT symbol FROM symbols")]
    groups = {user["group_name"] for user, _, _ in held.values()}
    prices = {group: await prices_at_once(stores, group, symbols) for group in groups}
    settings = await settings_at_once(
        stores,
        (
            (user["group_name"], each["symbol"])
            for user, opened, _ in held.values()
            for each in opened
        ),
    )
    async with stores.redis.pipeline(transaction=False) as pipe:
        for user_id, (user, opened, pending) in held.items():
            user_type = user["user_type"]
            worth = portfolio(user, opened, prices[user["group_name"]], settings)
            static = {"open_orders": opened, "pending_orders": pending}
            pipe.set(user_key(user_type, user_id), encode(user))
            pipe.set(static_orders_key(user_type, user_id), encode(static))
            pipe.set(portfolio_key(user_type, user_id), encode(worth))
        for order in orders:
            told = json.dumps({"user_id": order["user_id"], "user_type": order["user_type"]})
            pipe.publish(ORDER_CHANNEL, told)
            pipe.publish(USER_CHANNEL, told)
        pipe.publish(MARKET_CHANNEL, json.dumps({"symbol": "TRIGGER"}))
        await pipe.execute()
