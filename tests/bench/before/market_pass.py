"""What one market message has done: prices stored, stops checked, pending orders checked.

Symbols come one after the other, and of a symbol one call after the other. Closes come before
openings, so that a position opened by a message is judged by the next.
"""

import json
from collections.abc import Sequence

from tests.bench.before.cache import group_price_key, last_price_key, scan_settings
from tests.bench.before.market import Prices, Triggered, group_price
from tests.bench.before.pending import check_pending
from tests.bench.before.positions import check_positions
from tests.bench.before.stores import Stores
from tests.bench.before.user_state import price_json


async def take_prices(
    stores: Stores, prices: Prices, groups: Sequence[str], time: int
) -> list[Triggered]:
    """Take the changed prices for these groups; return what they triggered."""
    log = stores.log
    log.info("Market update: %s", json.dumps(prices, default=str))
    log.info("Market update with %s symbols", len(prices))
    await store_prices(stores, prices, groups)
    triggered = []
    async with stores.session() as session:
        for symbol in prices:
            triggered += await check_positions(stores, session, symbol, groups, time)
    for symbol, price in prices.items():
        triggered += await check_pending(stores, symbol, price, time)
    return triggered


async def store_prices(stores: Stores, prices: Prices, groups: Sequence[str]) -> None:
    """Store raw prices and those of these groups, one by one."""
    log = stores.log
    settings = await scan_settings(stores, groups[0] if len(groups) == 1 else "*")
    for symbol, price in prices.items():
        log.debug("Symbol %s: storing the last price", symbol)
        await stores.redis.set(last_price_key(symbol), price_json(price))
        log.debug("Symbol %s: last price stored", symbol)
        for group in groups:
            adjusted = group_price(price, settings[group, symbol])
            log.debug("Symbol %s: group %s buys at %s", symbol, group, adjusted.ask)
            await stores.redis.set(group_price_key(group, symbol), price_json(adjusted))
            log.debug("Symbol %s: price of group %s stored", symbol, group)
