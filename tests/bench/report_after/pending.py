"""Looks for pending orders that a price triggers, and opens them all in one batch."""

import json
from collections.abc import Sequence
from decimal import Decimal

import asyncpg

from tests.bench.before.cache import (
    PENDING_TYPES,
    Fields,
    pending_key,
    portfolio_key,
    remove_pending,
)
from tests.bench.before.market import (
    Price,
    Triggered,
    group_price,
    is_reached,
    normalise,
    opening_side,
)
from tests.bench.before.opening import fill
from tests.bench.before.stores import Stores
from tests.bench.before.user_state import conversion_prices
from tests.bench.report_after.user_states import settings_at_once, tell_users, users_at_once


async def check_pending(stores: Stores, symbol: str, price: Price, time: int) -> list[Triggered]:
    """Open what the raw price of a symbol triggers, each order at the price of its own group."""
    async with stores.redis.pipeline(transaction=False) as pipe:
        for order_type in PENDING_TYPES:
            pipe.hgetall(pending_key(symbol, order_type))
        hashes = await pipe.execute()
    levels: dict[tuple[str, str], Decimal] = {}
    prices: dict[str, Price] = {}
    triggered = []
    for order_type, users in zip(PENDING_TYPES, hashes, strict=True):
        for orders in users.values():
            for order in json.loads(orders):
                group = order["group_name"]
                market = levels.get((group, order_type))
                if market is None:
                    prices[group] = adjusted = group_price(price, order)
                    market = normalise(opening_side(order_type, adjusted))
                    levels[group, order_type] = market
                if is_reached(order_type, market, normalise(order["price"])):
                    stores.log.debug("Order %s is triggered", order["order_id"])
                    triggered.append(order)
    # Batches of other symbols run beside this one: users are locked in one order.
    triggered.sort(key=lambda order: order["user_id"])
    return await _open(stores, triggered, prices, time) if triggered else []


async def _open(
    stores: Stores, orders: Sequence[Fields], prices: dict[str, Price], time: int
) -> list[Triggered]:
    users = await users_at_once(stores, ((o["user_type"], o["user_id"]) for o in orders))
    settings = await settings_at_once(stores, ((o["group_name"], o["symbol"]) for o in orders))
    found = await stores.redis.mget([portfolio_key(o["user_type"], o["user_id"]) for o in orders])
    worths = [None if text is None else json.loads(text) for text in found]
    currency = next(iter(settings.values()))["profit_currency"]  # of the one symbol
    rates = await conversion_prices(stores, currency)
    opened, looked_at = [], []
    async with stores.session() as session:
        for order, worth in zip(orders, worths, strict=True):
            group = order["group_name"]
            user = users[order["user_type"], order["user_id"]]
            terms = settings[group, order["symbol"]]
            try:
                async with session.savepoint():
                    is_open = await fill(
                        session, order, user, worth, terms, prices[group], rates, time
                    )
            except asyncpg.PostgresError as error:
                stores.log.error("Order %s failed: %s", order["order_id"], error)
                continue
            looked_at.append(order)
            if is_open:
                opened.append(Triggered(order["order_id"], order["order_type"]))
        await session.commit()
        for order in looked_at:
            await remove_pending(stores, order)
        await tell_users(stores, session, looked_at)
    stores.log.info("%s pending orders executed", len(opened))
    return opened
