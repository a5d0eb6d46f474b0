"""Group prices and group symbols in Redis, for whoever has no desk of their own to ask.

`{group:gold}:prices` is a hash of prices by symbol, `{group:gold}:symbols` one list: a group's
reads and writes are one call each. Redis away: a read finds nothing, a write does nothing.
"""

from collections.abc import Iterable, Sequence

import msgspec

from service.instruments import Instruments
from service.storage.group_views import GroupSymbolView, PriceView
from service.storage.redis_link import READ_TIMEOUT_S, WRITE_TIMEOUT_S, RedisLink

# An older price is none: whoever reads it must know that the board has stopped.
PRICES_EXPIRY_S = 30
# Written at start and when settings change; a day ends what a failed write left behind.
SYMBOLS_EXPIRY_S = 86_400

_encode = msgspec.json.Encoder().encode
_price_from = msgspec.json.Decoder(PriceView).decode
_symbols_from = msgspec.json.Decoder(list[GroupSymbolView]).decode


def prices_key(group: str) -> str:
    return f"{{group:{group}}}:prices"


def symbols_key(group: str) -> str:
    return f"{{group:{group}}}:symbols"


class GroupCache:
    """What the cache knows of groups."""

    def __init__(self, link: RedisLink, instruments: Instruments) -> None:
        self._link = link
        self._instruments = instruments

    async def prices(self, group: str) -> dict[str, PriceView] | None:
        """Return a group's prices by symbol, or None; a symbol not quoted lately keeps its time."""

        async def ask() -> dict[bytes, bytes]:
            (fields,) = await self._link.pipeline([("HGETALL", prices_key(group))])
            return dict(fields)

        fields = await self._link.call("read_prices", READ_TIMEOUT_S, ask)
        try:
            prices = {name.decode(): _price_from(price) for name, price in (fields or {}).items()}
        except msgspec.DecodeError:
            fields, prices = None, {}
        self._count("group_prices", fields is None, bool(prices))
        return prices or None

    async def write_prices(self, group: str, prices: Iterable[PriceView]) -> None:
        """Store changed prices of a group among its others."""
        key = prices_key(group)
        fields: list[str | bytes] = []
        for price in prices:
            fields += [price.symbol, _encode(price)]

        async def ask() -> None:
            await self._link.pipeline([("HSET", key, *fields), ("EXPIRE", key, PRICES_EXPIRY_S)])

        if fields:
            await self._link.call("write_prices", WRITE_TIMEOUT_S, ask)

    async def symbols(self, group: str) -> list[GroupSymbolView] | None:
        """Return a group's symbols with its terms, or None."""

        async def ask() -> bytes:
            (content,) = await self._link.pipeline([("GET", symbols_key(group))])
            return bytes(content or b"")

        content = await self._link.call("read_symbols", READ_TIMEOUT_S, ask)
        try:
            symbols = _symbols_from(content) if content else None
        except msgspec.DecodeError:
            content, symbols = None, None
        self._count("group_symbols", content is None, symbols is not None)
        return symbols

    async def write_symbols(self, group: str, symbols: Sequence[GroupSymbolView]) -> None:
        """Store all symbols of a group."""

        async def ask() -> None:
            command = ("SET", symbols_key(group), _encode(symbols), "EX", SYMBOLS_EXPIRY_S)
            await self._link.pipeline([command])

        await self._link.call("write_symbols", WRITE_TIMEOUT_S, ask)

    def _count(self, cache: str, failed: bool, found: bool) -> None:
        result = "error" if failed else "hit" if found else "miss"
        self._instruments.cache_request(cache, result)
