"""Group prices and group symbols in Redis, for whoever has no desk of their own to ask.

`{group:gold}:prices` is a hash of prices by symbol, `{group:gold}:symbols` one list: a group's
reads and writes are one call each. Redis away: a read finds nothing, a write does nothing.

Symbols change rarely, so what was read of them is kept as a copy (R10.2) until `SETTINGS_CHANNEL`
tells of a change: no process polls. Copies are made and believed only while this process listens to
that channel (`listen`), for what was told meanwhile is told to nobody again.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from service.instruments import Instruments
from service.storage.cache_keys import (
    PRICES,
    SETTINGS_CHANNEL,
    SYMBOLS,
    prices_key,
    symbols_key,
)
from service.storage.group_views import GroupSymbolView, PriceView
from service.storage.redis_link import READ_TIMEOUT_S, WRITE_TIMEOUT_S, RedisLink
from service.storage.redis_node import Command

_encode = msgspec.json.Encoder().encode
_price_from = msgspec.json.Decoder(PriceView).decode
_symbols_from = msgspec.json.Decoder(list[GroupSymbolView]).decode


class GroupMarket(NamedTuple):
    """What a group trades and at which prices, as read at once; None where nothing is known."""

    prices: dict[str, PriceView] | None
    symbols: list[GroupSymbolView] | None


class GroupCache:
    """What the cache knows of groups."""

    def __init__(self, link: RedisLink, instruments: Instruments) -> None:
        self._link = link
        self._instruments = instruments
        self._copies: dict[str, list[GroupSymbolView]] = {}
        self._is_listening = False
        self._changes = 0

    def listen(self, is_listening: bool) -> None:
        """Note that changes of settings are heard from now on, or no more."""
        self._is_listening = is_listening
        self._copies.clear()
        self._changes += 1

    def forget_symbols(self, group: str) -> None:
        """Drop the copy of a group's symbols: they changed."""
        self._copies.pop(group, None)
        self._changes += 1

    async def prices(self, group: str) -> dict[str, PriceView] | None:
        """Return a group's prices by symbol, or None; a symbol not quoted lately keeps its time."""

        async def ask() -> dict[bytes, bytes]:
            (fields,) = await self._link.pipeline([("HGETALL", prices_key(group))])
            return dict(fields)

        return self._prices(await self._link.call("read_prices", READ_TIMEOUT_S, ask))

    async def symbols(self, group: str) -> list[GroupSymbolView] | None:
        """Return a group's symbols with its terms, or None."""
        copy = self._copy(group)
        if copy is not None:
            return copy
        changes = self._changes

        async def ask() -> bytes:
            (content,) = await self._link.pipeline([("GET", symbols_key(group))])
            return bytes(content or b"")

        content = await self._link.call("read_symbols", READ_TIMEOUT_S, ask)
        return self._symbols(group, content, changes)

    async def market(self, group: str) -> GroupMarket | None:
        """Return a group's prices and symbols, read at once; None where Redis is away."""
        copy = self._copy(group)
        changes = self._changes
        commands: list[Command] = [("HGETALL", prices_key(group))]
        if copy is None:
            commands.append(("GET", symbols_key(group)))

        async def ask() -> tuple[dict[bytes, bytes], bytes]:
            prices, *content = await self._link.pipeline(commands)
            return dict(prices), bytes(content[0] or b"") if content else b""

        found = await self._link.call("read_group", READ_TIMEOUT_S, ask)
        prices = self._prices(None if found is None else found[0])
        if copy is None:
            copy = self._symbols(group, None if found is None else found[1], changes)
        return None if found is None else GroupMarket(prices, copy)

    async def stored(self, group: str) -> GroupMarket | None:
        """Return what Redis itself holds of a group, for an audit: it counts nowhere.

        What cannot be read is a group without symbols.
        """

        async def ask() -> tuple[dict[bytes, bytes], bytes | None]:
            prices, content = await self._link.pipeline(
                [("HGETALL", prices_key(group)), ("GET", symbols_key(group))]
            )
            return dict(prices), content

        found = await self._link.call("read_group", READ_TIMEOUT_S, ask)
        if found is None:
            return None
        fields, content = found
        try:
            prices = {name.decode(): _price_from(price) for name, price in fields.items()}
            return GroupMarket(prices or None, _symbols_from(content) if content else None)
        except msgspec.DecodeError:
            return GroupMarket(None, [])

    async def write_prices(
        self,
        changed: Mapping[str, Iterable[PriceView]],
        gone: Mapping[str, Collection[str]] = MappingProxyType({}),
    ) -> None:
        """Store changed prices of groups, each among its group's others, in one call.

        `gone`: by group the symbols that have no price any more.
        """
        stores = [
            command for group, prices in changed.items() for command in _stores(group, prices)
        ]
        stores += [("HDEL", prices_key(group), *names) for group, names in gone.items() if names]
        if stores:
            await self._write_prices(stores)

    async def replace_prices(self, group: str, prices: Iterable[PriceView]) -> None:
        """Store all prices of a group in place of whatever is there."""
        delete: Command = ("DEL", prices_key(group))
        await self._write_prices([("MULTI",), delete, *_stores(group, prices), ("EXEC",)])

    async def _write_prices(self, commands: Sequence[Command]) -> None:
        async def ask() -> None:
            await self._link.pipeline(commands)

        await self._link.call("write_prices", WRITE_TIMEOUT_S, ask)

    async def write_symbols(self, group: str, symbols: Sequence[GroupSymbolView]) -> bool:
        """Store all symbols of a group, and then have every process drop its copy.

        Returns:
            Whether it is known to have been stored.
        """

        async def ask() -> bool:
            # One after the other: on a cluster they are at two nodes.
            await self._link.pipeline(
                [("SET", symbols_key(group), _encode(symbols), "EX", SYMBOLS.expiry_s)]
            )
            await self._link.pipeline([("SPUBLISH", SETTINGS_CHANNEL, group)])
            return True

        is_stored = await self._link.call("write_symbols", WRITE_TIMEOUT_S, ask)
        self.forget_symbols(group)
        return is_stored is True

    def _copy(self, group: str) -> list[GroupSymbolView] | None:
        copy = self._copies.get(group)
        if self._is_listening:
            self._count("group_symbols_copy", failed=False, found=copy is not None)
        return copy

    def _prices(self, fields: dict[bytes, bytes] | None) -> dict[str, PriceView] | None:
        try:
            prices = {name.decode(): _price_from(price) for name, price in (fields or {}).items()}
        except msgspec.DecodeError:
            fields, prices = None, {}
        self._count("group_prices", failed=fields is None, found=bool(prices))
        return prices or None

    def _symbols(
        self, group: str, content: bytes | None, changes: int
    ) -> list[GroupSymbolView] | None:
        try:
            symbols = _symbols_from(content) if content else None
        except msgspec.DecodeError:
            content, symbols = None, None
        self._count("group_symbols", failed=content is None, found=symbols is not None)
        # Not if they changed while they were on their way.
        if symbols is not None and self._is_listening and changes == self._changes:
            self._copies[group] = symbols
        return symbols

    def _count(self, cache: str, *, failed: bool, found: bool) -> None:
        result = "error" if failed else "hit" if found else "miss"
        self._instruments.cache_request(cache, result)


def _stores(group: str, prices: Iterable[PriceView]) -> list[Command]:
    key = prices_key(group)
    fields: list[str | bytes] = []
    for price in prices:
        fields += [price.symbol, _encode(price)]
    return [("HSET", key, *fields), ("EXPIRE", key, PRICES.expiry_s)] if fields else []
