"""The shards but 0 follow the settings: what shard 0 has changed, their leaders take over.

A leader takes a newer version into memory at once, and stores the triggers that it moves with the
version in its own place among its decisions, fenced like them. Where it began to lead with triggers
stored of older settings than it has loaded, it stores those of all its live orders.

Limit: a shard trades by the former settings for up to `FOLLOW_INTERVAL_S`, its reading and its
commit longer than shard 0; administrators are answered when all shards have stored the change.
"""

import asyncio
from collections.abc import Sequence
from weakref import WeakSet

from loguru import logger

from service.domain.desk import Desk
from service.domain.market import Market, Terms
from service.domain.order import Order
from service.loops.answers import Unavailable, Withdrawn
from service.loops.settings_desk import is_moved
from service.loops.trading import Trading
from service.storage.settings_version import SETTINGS_SHARD, SettingsVersions, set_version
from service.storage.settings_write import SettingsStatement, set_triggers

FOLLOW_INTERVAL_S = 0.25


class SettingsFollower:
    """Has the shards that a process trades take over newer settings."""

    def __init__(self, versions: SettingsVersions, tradings: Sequence[Trading]) -> None:
        self._versions = versions
        self._tradings = [each for each in tradings if each.desk.shard.number != SETTINGS_SHARD]
        self._followed: WeakSet[Desk] = WeakSet()
        self._behind = 0

    def behind(self) -> int:
        """Return how many versions the last of the shards traded here was behind when looked at."""
        return self._behind

    async def run_once(self) -> None:
        """Take over what is newer, and wait until it is stored, for at most `ANSWER_TIMEOUT_S`."""
        led = [trading for trading in self._tradings if trading.has_lease]
        if not led:
            self._behind = 0
            return
        stored = await self._versions.of_shards()
        newest = stored[SETTINGS_SHARD]
        self._behind = newest - min(stored[each.desk.shard.number] for each in led)
        if not self._behind:
            return
        settings = await self._versions.load()
        outcomes = await asyncio.gather(
            *(self._take_over(each, stored[each.desk.shard.number], settings) for each in led),
            return_exceptions=True,
        )
        for error in outcomes:
            if isinstance(error, Unavailable | Withdrawn):  # it is asked again, or starts over
                logger.warning("a shard has not stored newer settings yet: {}", error)
            elif error is not None:
                raise error

    async def _take_over(self, trading: Trading, stored: int, settings: Desk) -> None:
        desk = trading.desk
        # Of a desk that was followed, newer settings than the stored version are on their way.
        is_known = desk in self._followed or stored >= desk.settings_version
        if is_known and settings.settings_version <= desk.settings_version:
            return
        await trading.change_settings(
            lambda desk: self._statements(desk, settings, is_known=is_known)
        )

    def _statements(self, desk: Desk, settings: Desk, *, is_known: bool) -> list[SettingsStatement]:
        moved = take_settings(desk, settings)
        self._followed.add(desk)
        orders = moved if is_known else list(desk.orders.values())
        logger.info(
            "shard {} trades by version {} of the settings, which moved the triggers of {} orders",
            desk.shard.number,
            desk.settings_version,
            len(orders),
        )
        version = set_version(desk.shard.number, desk.settings_version)
        return [set_triggers(orders), version] if orders else [version]


def take_settings(desk: Desk, settings: Desk) -> list[Order]:
    """Take over what differs in the settings of another desk; return the orders it moves."""
    moved: set[Market | Terms] = set()
    for name, symbol in settings.symbols.items():
        before = desk.symbols.get(name)
        if before != symbol:
            desk.set_symbol(symbol)
            if is_moved(before, symbol):
                moved.add(desk.markets[name])
    for name, group in settings.groups.items():
        if desk.groups.get(name) != group:
            desk.set_group(group)
    for key, newer in settings.terms.items():
        terms = desk.terms.get(key)
        if terms is None or terms.settings != newer.settings:
            markup = None if terms is None else (terms.buy_markup, terms.sell_markup)
            desk.set_terms(newer.settings)
            if terms is not None and markup != (terms.buy_markup, terms.sell_markup):
                moved.add(terms)
    desk.settings_version = max(desk.settings_version, settings.settings_version)
    if not moved:
        return []
    return [
        order
        for order in desk.orders.values()
        if order.terms in moved or order.terms.market in moved
    ]
