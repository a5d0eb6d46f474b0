"""What one market message has done: prices stored in one pipeline, symbols checked concurrently."""

import asyncio
from collections.abc import Mapping, Sequence

from tests.bench.before.cache import group_price_key, last_price_key, scan_settings
from tests.bench.before.market import Price, Prices, Triggered, group_price
from tests.bench.before.stores import Stores
from tests.bench.before.user_state import price_json
from tests.bench.report_after.pending import check_pending
from tests.bench.report_after.positions import check_positions
from tests.bench.report_after.user_states import Settings


async def take_prices(
    stores: Stores, prices: Prices, groups: Sequence[str], time: int
) -> list[Triggered]:
    """Take the changed prices for these groups; return what they triggered."""
    settings = await scan_settings(stores, groups[0] if len(groups) == 1 else "*")
    return await take_priced(stores, prices, groups, settings, time)


async def take_priced(
    stores: Stores, prices: Prices, groups: Sequence[str], settings: Settings, time: int
) -> list[Triggered]:
    """As `take_prices`, with the settings that were read."""
    stores.log.debug("Market update with %s symbols", len(prices))
    adjusted = {
        symbol: {group: group_price(price, settings[group, symbol]) for group in groups}
        for symbol, price in prices.items()
    }
    async with stores.redis.pipeline(transaction=False) as pipe:
        for symbol, price in prices.items():
            pipe.set(last_price_key(symbol), price_json(price))
            for group, own in adjusted[symbol].items():
                pipe.set(group_price_key(group, symbol), price_json(own))
        await pipe.execute()
    checked = await asyncio.gather(
        *(_check(stores, symbol, price, adjusted[symbol], time) for symbol, price in prices.items())
    )
    return [each for triggered in checked for each in triggered]


async def _check(
    stores: Stores, symbol: str, price: Price, adjusted: Mapping[str, Price], time: int
) -> list[Triggered]:
    closed = await check_positions(stores, symbol, adjusted, time)
    return closed + await check_pending(stores, symbol, price, time)
