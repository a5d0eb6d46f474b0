"""The shards but 0 follow the settings: what shard 0 has changed, their leaders take over.

A leader takes a newer version into memory at once, and stores the triggers that it moves with the
version in its own place among its decisions, fenced like them. Where it began to lead with triggers
stored of older settings than it has loaded, it stores those of all its live orders.

Limit: a shard trades by the former settings for up to `FOLLOW_INTERVAL_S`, its reading and its
commit longer than shard 0; administrators are answered when all shards have stored the change.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from weakref import WeakSet

from loguru import logger

from service.domain.desk import Desk
from service.domain.market import Market, Terms
from service.domain.order import Order
from service.loops.answers import Unavailable
from service.loops.settings_desk import is_moved
from service.storage.settings_version import SETTINGS_SHARD, set_version
from service.storage.settings_write import SettingsStatement, set_triggers

FOLLOW_INTERVAL_S = 0.25


class Versions(Protocol):
    """The settings as stored; raises `Unreachable`."""

    async def of_shards(self) -> Mapping[int, int]:
        """Return the version of each shard's triggers."""
        ...

    async def load(self) -> Desk:
        """Return a desk that has the newest settings, and nothing else."""
        ...


class Follows(Protocol):
    """Who may trade a shard: `Trading`."""

    @property
    def desk(self) -> Desk: ...

    @property
    def has_lease(self) -> bool: ...

    def queue_settings(
        self, apply: Callable[[Desk], Sequence[SettingsStatement]]
    ) -> "asyncio.Future[None]":
        """Have `apply` change the desk at once, and queue what stores it."""
        ...


class SettingsFollower:
    """Has the shards that a process trades take over newer settings."""

    def __init__(self, versions: Versions, tradings: Sequence[Follows]) -> None:
        self._versions = versions
        self._tradings = [each for each in tradings if each.desk.shard.number != SETTINGS_SHARD]
        self._followed: WeakSet[Desk] = WeakSet()
        self._behind = 0

    def behind(self) -> int:
        """Return how many versions the last of the shards traded here was behind when looked at."""
        return self._behind

    async def run_once(self) -> None:
        """Take over what is newer, which each shard stores in its own time.

        Raises:
            Unreachable: the database is away.
            ExceptionGroup: some shards failed at it; the others did not.
        """
        led = [trading for trading in self._tradings if trading.has_lease]
        if not led:
            self._behind = 0
            return
        stored = await self._versions.of_shards()
        newest = stored[SETTINGS_SHARD]
        self._behind = newest - min(stored[each.desk.shard.number] for each in led)
        if all(self._is_known(each.desk, stored, newest) for each in led):
            return
        settings = await self._versions.load()
        failures: list[Exception] = []
        for each in led:
            try:
                self._take_over(each, stored, settings)
            except Unavailable as error:  # it is asked again
                number = each.desk.shard.number
                logger.warning("shard {} cannot take over newer settings yet: {}", number, error)
            except Exception as error:  # one shard's fault is not the others'
                failures.append(error)
        if failures:
            raise ExceptionGroup("newer settings could not be taken over", failures)

    def _is_known(self, desk: Desk, stored: Mapping[int, int], version: int) -> bool:
        """Tell whether a desk has a version, and its triggers are stored as of that, or will be."""
        return self._stores(desk, stored) and version <= desk.settings_version

    def _stores(self, desk: Desk, stored: Mapping[int, int]) -> bool:
        """Tell whether the triggers of a desk are stored as of its settings, or will be."""
        # Of a desk that was followed, newer settings than the stored version are on their way.
        return desk in self._followed or stored[desk.shard.number] >= desk.settings_version

    def _take_over(self, trading: Follows, stored: Mapping[int, int], settings: Desk) -> None:
        desk, version = trading.desk, settings.settings_version
        # One that was loaded meanwhile may have newer settings than these.
        if version < desk.settings_version or self._is_known(desk, stored, version):
            return
        is_stored = self._stores(desk, stored)
        trading.queue_settings(lambda desk: self._statements(desk, settings, is_stored=is_stored))

    def _statements(
        self, desk: Desk, settings: Desk, *, is_stored: bool
    ) -> list[SettingsStatement]:
        moved = take_settings(desk, settings)
        self._followed.add(desk)
        orders = moved if is_stored else list(desk.orders.values())
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
    desk.settings_version = settings.settings_version
    if not moved:
        return []
    return [
        order
        for order in desk.orders.values()
        if order.terms in moved or order.terms.market in moved
    ]
