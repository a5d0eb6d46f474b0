"""What every WebSocket connection does by itself with every market message."""

from typing import Any

from tests.bench.before.cache import (
    Fields,
    encode,
    portfolio_key,
    read,
    scan_settings,
    static_orders_key,
    user_key,
)
from tests.bench.before.listener import Listener as ListenerBefore
from tests.bench.before.listener import shown, update_message
from tests.bench.before.market import Prices, group_price
from tests.bench.before.money import portfolio
from tests.bench.before.user_state import live_orders, prices_at_once
from tests.bench.report_after.market_pass import take_priced


class Listener(ListenerBefore):
    """A connection of one user, with a subscription of its own."""

    async def process(self, prices: Prices, time: int) -> str:
        """Take a market message; return the update for the client."""
        stores, group = self._stores, self._group
        settings = await scan_settings(stores, group)
        await take_priced(stores, prices, [group], settings, time)
        changed = {
            symbol: shown(group_price(price, settings[group, symbol]))
            for symbol, price in prices.items()
        }
        static = await self._static_orders()
        user = await read(stores, user_key(self._user_type, self._user_id))
        assert user is not None
        known = await prices_at_once(stores, group, [symbol for _, symbol in settings])
        worth = portfolio(user, static["open_orders"], known, settings)
        await stores.redis.set(portfolio_key(self._user_type, self._user_id), encode(worth))
        text = update_message(changed, user, static)
        stores.log.debug("User %s: sending %s characters", self._user_id, len(text))
        return text

    async def _static_orders(self) -> Fields:
        """Return the user's orders: from the cache, and from the database only if it has none."""
        stores, key = self._stores, static_orders_key(self._user_type, self._user_id)
        cached = await read(stores, key)
        if cached is not None:
            return cached
        async with stores.session() as session:
            opened, pending = await live_orders(session, self._user_id)
        static: dict[str, Any] = {"open_orders": opened, "pending_orders": pending}
        await stores.redis.set(key, encode(static))
        return static
