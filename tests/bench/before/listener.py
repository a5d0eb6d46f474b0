"""What every WebSocket connection does by itself with every market message."""

import json
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

from tests.bench.before.cache import (
    Fields,
    encode,
    portfolio_key,
    read,
    scan_settings,
    static_orders_key,
    user_key,
    user_of,
)
from tests.bench.before.market import Price, Prices, group_price
from tests.bench.before.market_pass import take_prices
from tests.bench.before.money import portfolio
from tests.bench.before.stores import Stores
from tests.bench.before.user_state import (
    MARKET_CHANNEL,
    ORDER_CHANNEL,
    USER_CHANNEL,
    live_orders,
    prices_at_once,
)

Send = Callable[[str], Awaitable[None]]


def market_message(prices: Prices, time: int) -> str:
    """Write a market message as it is published."""
    raw = {symbol: {"o": str(each.bid), "b": str(each.ask)} for symbol, each in prices.items()}
    return json.dumps({**raw, "_timestamp": time, "type": "market_data_update"})


def read_message(text: str) -> tuple[dict[str, Price], int]:
    fields = json.loads(text)
    prices = {
        symbol: Price(Decimal(each["o"]), Decimal(each["b"]))
        for symbol, each in fields.items()
        if isinstance(each, dict)
    }
    return prices, fields["_timestamp"]


class Listener:
    """A connection of one user, with a subscription of its own."""

    def __init__(self, stores: Stores, user_type: str, user_id: int, group: str) -> None:
        self._stores = stores
        self._user_type = user_type
        self._user_id = user_id
        self._group = group

    async def listen(self, send: Send, subscribed: Callable[[], None]) -> None:
        """Answer every market message, until cancelled."""
        async with self._stores.redis.pubsub() as pubsub:
            await pubsub.subscribe(MARKET_CHANNEL, ORDER_CHANNEL, USER_CHANNEL)
            subscribed()
            async for message in pubsub.listen():
                if message["type"] == "message" and message["channel"] == MARKET_CHANNEL:
                    await send(await self.process(*read_message(message["data"])))

    async def process(self, prices: Prices, time: int) -> str:
        """Take a market message; return the update for the client."""
        stores, log = self._stores, self._stores.log
        await take_prices(stores, prices, [self._group], time)
        settings = await scan_settings(stores, self._group)
        changed = {
            symbol: shown(group_price(price, settings[self._group, symbol]))
            for symbol, price in prices.items()
        }
        log.info("User %s: %s prices changed", self._user_id, len(changed))
        static = await self._static_orders()
        log.info("User %s: %s open orders", self._user_id, len(static["open_orders"]))
        user = await self._update_portfolio(static)
        log.info("User %s: balance %s", self._user_id, user["wallet_balance"])
        text = update_message(changed, user, static)
        log.info("User %s: sending %s characters", self._user_id, len(text))
        return text

    async def _static_orders(self) -> Fields:
        """Return the user's orders: looked for in the cache, and always read from the database."""
        stores, key = self._stores, static_orders_key(self._user_type, self._user_id)
        await read(stores, key)
        async with stores.session() as session:
            opened, pending = await live_orders(session, self._user_id)
        static: dict[str, Any] = {"open_orders": opened, "pending_orders": pending}
        await stores.redis.set(key, encode(static))
        return static

    async def _update_portfolio(self, static: Fields) -> Fields:
        """Store what the user is worth; return the user."""
        stores, key = self._stores, portfolio_key(self._user_type, self._user_id)
        user = await read(stores, user_key(self._user_type, self._user_id))
        assert user is not None
        settings = await scan_settings(stores, self._group)
        prices = await prices_at_once(stores, self._group, [symbol for _, symbol in settings])
        worth = portfolio(user, static["open_orders"], prices, settings)
        await stores.redis.set(key, encode(worth))
        worth_read = await read(stores, key)
        assert worth_read is not None
        stores.log.info("User %s: equity %s", self._user_id, worth_read["equity"])
        async with stores.session() as session:
            return await user_of(stores, session, self._user_type, self._user_id)


def update_message(changed: Mapping[str, Mapping[str, float]], user: Fields, static: Fields) -> str:
    """Return what the client is sent."""
    summary = {"balance": user["wallet_balance"], "margin": user["margin"], **static}
    update = {"market_prices": changed, "account_summary": summary}
    return json.dumps({"type": "market_update", "data": update})


def shown(price: Price) -> dict[str, float]:
    buy, sell = float(price.ask), float(price.bid)
    return {"buy": buy, "sell": sell, "spread": buy - sell}
