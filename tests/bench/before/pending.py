"""Looks for pending orders that a price triggers: every order of the symbol, with nine log lines.

Four reads of the cache, one after the other; each order is compared and, if it triggers, opened
before the next is looked at.
"""

import json
from collections.abc import Mapping
from typing import Any

from tests.bench.before.cache import PENDING_TYPES, pending_key
from tests.bench.before.market import (
    EPSILON,
    Price,
    Triggered,
    group_price,
    is_reached,
    normalise,
    opening_side,
)
from tests.bench.before.opening import open_pending
from tests.bench.before.stores import Stores


async def check_pending(stores: Stores, symbol: str, price: Price, time: int) -> list[Triggered]:
    """Open what the raw price of a symbol triggers, each order at the price of its own group."""
    opened = []
    for order_type in PENDING_TYPES:
        users = await stores.redis.hgetall(pending_key(symbol, order_type))
        for orders in users.values():
            for order in json.loads(orders):
                if _triggers(stores, order, price):
                    done = await open_pending(stores, order, time)
                    if done is not None:
                        opened.append(done)
    return opened


def _triggers(stores: Stores, order: Mapping[str, Any], price: Price) -> bool:
    info = stores.log.info
    order_id, order_type = order["order_id"], order["order_type"]
    info("Checking pending order %s (%s %s)", order_id, order_type, order["symbol"])
    info("Order %s: raw market price %s / %s", order_id, price.bid, price.ask)
    market = opening_side(order_type, group_price(price, order))
    info("Order %s: adjusted price of group %s is %s", order_id, order["group_name"], market)
    normalised, level = normalise(market), normalise(order["price"])
    info("Order %s: normalised market price %s", order_id, normalised)
    info("Order %s: normalised order price %s", order_id, level)
    info("Order %s: as text, market %s, order %s", order_id, str(normalised), str(level))
    info("Order %s: difference %s", order_id, normalised - level)
    info("Order %s: within %s: %s", order_id, EPSILON, abs(normalised - level) < EPSILON)
    reached = is_reached(order_type, normalised, level)
    info("Order %s: triggered: %s", order_id, reached)
    return reached
