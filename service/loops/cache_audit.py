"""The cache's audit: what Redis holds is compared with the truth, sample by sample.

Accounts are compared with the database, at the same sequence; groups with the desk's memory. What
differs because it is on its way is looked at again after `RECHECK_S`, and is a difference only if
it should have arrived by then. A difference is counted by kind, logged and repaired: an account's
entry is removed, so that its next read fills it anew; a group's prices and symbols are written.

Only whoever trades audits, and groups only whoever trades shard 0, who stores them. An audit asks
Redis and the database for `ACCOUNTS_IN_RUN` accounts and `GROUPS_IN_RUN` groups, and counts as
nobody's hit or miss.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from random import Random

from loguru import logger

from service.domain.desk import Desk
from service.instruments import Instruments
from service.loops.portfolio import LiveOrdersReader
from service.loops.trading import Trading
from service.storage.cache import Cache, StaticOrders
from service.storage.group_cache import GroupMarket
from service.storage.group_views import (
    GroupSymbolView,
    PriceView,
    group_symbol_view,
    price_view,
)
from service.storage.settings_version import SETTINGS_SHARD

ACCOUNTS_IN_RUN = 100
GROUPS_IN_RUN = 5
RECHECK_S = 1.0
# A process that was suspended this long knows old prices, and another may lead meanwhile.
SUSPENDED_S = 3.0
MAX_LOGGED = 10


class CacheAudit:
    """Samples the cache of one shard."""

    def __init__(
        self,
        trading: Trading,
        cache: Cache,
        reader: LiveOrdersReader,
        is_published: Callable[[], bool],
        instruments: Instruments,
        chance: Random,
    ) -> None:
        """Take whether Redis was sent everything there is, and what draws the samples."""
        self._trading = trading
        self._cache = cache
        self._reader = reader
        self._is_published = is_published
        self._instruments = instruments
        self._chance = chance

    async def run_once(self) -> int:
        """Audit a sample; return how many entries differed.

        Raises:
            Unreachable: the database is away.
        """
        if not self._trading.is_leading:
            return 0
        desk = self._trading.desk
        account_ids = list(desk.accounts)
        sample = self._chance.sample(account_ids, min(ACCOUNTS_IN_RUN, len(account_ids)))
        stored = list(desk.groups) if desk.shard.number == SETTINGS_SHARD else []
        groups = self._chance.sample(stored, min(GROUPS_IN_RUN, len(stored)))
        return await self._audit_accounts(sample) + await self._audit_groups(groups, desk)

    # Accounts

    async def _audit_accounts(self, account_ids: Sequence[int]) -> int:
        cached, stored = await self._look(account_ids)
        self._count("absent", len(account_ids) - len(cached))
        found: dict[int, list[str]] = {}
        moving: list[int] = []
        for account_id, entry in cached.items():
            truth = stored.get(account_id)
            if truth is not None and truth[0].sequence != entry[0].sequence:
                moving.append(account_id)
            else:
                found[account_id] = differences(entry, truth)
        if moving:
            found |= await self._look_again(moving, stored)
        wrong = {account_id: kinds for account_id, kinds in found.items() if kinds}
        self._count("same", len(found) - len(wrong))
        if wrong:
            await self._cache.remove_accounts(list(wrong))
            self._tell("account", wrong)
        return len(wrong)

    async def _look(
        self, account_ids: Collection[int]
    ) -> tuple[dict[int, StaticOrders], dict[int, StaticOrders]]:
        cached = await self._cache.static_orders(list(account_ids), is_audit=True)
        return cached, await self._reader.live_orders(list(cached)) if cached else {}

    async def _look_again(
        self, account_ids: Sequence[int], before: dict[int, StaticOrders]
    ) -> dict[int, list[str]]:
        """Judge entries that were of another sequence than what was stored `before`."""
        await asyncio.sleep(RECHECK_S)
        has_arrived = self._is_published()
        await asyncio.sleep(0)  # a commit whose publication is only just due shows now
        # What another leader commits is published by that one.
        has_arrived = has_arrived and self._is_published() and self._trading.has_lease
        cached, stored = await self._look(account_ids)
        found: dict[int, list[str]] = {}
        for account_id, entry in cached.items():
            truth = stored[account_id]
            sequence = entry[0].sequence
            if sequence == truth[0].sequence:
                found[account_id] = differences(entry, truth)
            elif sequence > truth[0].sequence:
                found[account_id] = ["ahead"]
            elif has_arrived and sequence < before[account_id][0].sequence:
                found[account_id] = ["behind"]
        self._count("moved", len(account_ids) - len(found))
        return found

    # Groups

    async def _audit_groups(self, groups: Sequence[str], desk: Desk) -> int:
        moving: dict[str, GroupMarket] = {}
        for group in groups:
            truth = group_market(group, desk)
            read = await self._cache.groups.stored(group)
            if read is None or (read.prices is None and read.symbols is None):
                self._count("absent", 1)
            elif group_differences(read, truth, truth):
                moving[group] = truth
            else:
                self._count("same", 1)
        if not moving:
            return 0
        began = time.monotonic()
        await asyncio.sleep(RECHECK_S)
        is_current = self._trading.is_leading and self._trading.desk is desk
        is_current = is_current and time.monotonic() - began < SUSPENDED_S
        if not is_current or not self._is_published():
            self._count("moved", len(moving))
            return 0
        wrong: dict[str, list[str]] = {}
        for group, before in moving.items():
            truth = group_market(group, desk)
            read = await self._cache.groups.stored(group)
            kinds = [] if read is None else group_differences(read, before, truth)
            if kinds:
                wrong[group] = kinds
                await self._cache.groups.replace_prices(group, (truth.prices or {}).values())
                await self._cache.groups.write_symbols(group, truth.symbols or [])
        self._count("moved", len(moving) - len(wrong))
        self._tell("group", wrong)
        return len(wrong)

    # What was found

    def _count(self, result: str, count: int) -> None:
        self._instruments.cache_audited(result, count)

    def _tell(self, what: str, wrong: dict[int, list[str]] | dict[str, list[str]]) -> None:
        self._count("different", len(wrong))
        for number, (name, kinds) in enumerate(wrong.items()):
            for kind in kinds:
                self._instruments.cache_difference(kind)
            if number < MAX_LOGGED:
                logger.error(
                    "the cache of {} {} was wrong and is repaired: {}", what, name, ", ".join(kinds)
                )


def differences(cached: StaticOrders, stored: StaticOrders | None) -> list[str]:
    """Return in what an entry differs from the account as stored, None: there is no such account.

    Both must be of one sequence.
    """
    if stored is None:
        return ["account"]
    (one, orders), (other, truth) = cached, stored
    kinds = []
    if (one.user_type, one.group, one.leverage, one.in_margin_call) != (
        other.user_type,
        other.group,
        other.leverage,
        other.in_margin_call,
    ):
        kinds.append("account")
    if one.balance != other.balance:
        kinds.append("balance")
    if one.margin != other.margin:
        kinds.append("margin")
    found = {order.order_id: order for order in orders}
    true = {order.order_id: order for order in truth}
    if true.keys() - found.keys():
        kinds.append("order_missing")
    if found.keys() - true.keys():
        kinds.append("order_extra")
    if any(found[each] != true[each] for each in found.keys() & true.keys()):
        kinds.append("order_differs")
    return kinds


def group_market(group: str, desk: Desk) -> GroupMarket:
    """Return a group's prices and symbols as memory has them."""
    prices: dict[str, PriceView] = {}
    symbols: list[GroupSymbolView] = []
    for (name, symbol), terms in desk.terms.items():
        if name == group:
            symbols.append(group_symbol_view(terms))
            price = price_view(terms)
            if price is not None:
                prices[symbol] = price
    return GroupMarket(prices, symbols)


def group_differences(read: GroupMarket, before: GroupMarket, now: GroupMarket) -> list[str]:
    """Return in what Redis differs from what was so `before`, and is so still.

    A price that is not there is none: who needs it takes the last known one.
    """
    kinds = []
    symbols = {each.symbol: each for each in now.symbols or ()}
    is_settled = read.symbols is not None and now.symbols == before.symbols
    if is_settled and {each.symbol: each for each in read.symbols or ()} != symbols:
        kinds.append("group_symbols")
    true, former = now.prices or {}, before.prices or {}
    for symbol, price in (read.prices or {}).items():
        if former.get(symbol) == true.get(symbol) != price:
            kinds.append("group_prices")
            break
    return kinds
