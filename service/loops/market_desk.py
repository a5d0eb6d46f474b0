"""The market desk: settings and last prices, for a process that trades nothing.

A gateway shows and values by it, a feed knows its symbols from it. It has no accounts, so nothing
is judged: quotes are guarded as engines guard them, who count what is refused, and are then the
last prices. Changed settings are taken over where another version is stored, which is looked for
every `FOLLOW_INTERVAL_S`.
"""

import asyncio
import time
from collections.abc import Callable

from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.instrument import Symbol
from service.domain.quote import Quote, QuoteGuard
from service.loops.settings_follower import take_settings
from service.storage.database import Database
from service.storage.loader import load_quotes
from service.storage.settings_version import SettingsVersions


class MarketDesk:
    """Settings and last prices; run it once every `FOLLOW_INTERVAL_S`."""

    def __init__(self, database: Database, guard: QuoteGuard) -> None:
        self._database = database
        self._versions = SettingsVersions(database)
        self._engine = Engine(Desk(), guard)
        self._informed = asyncio.Event()
        self._behind = 0
        self.settings_hooks: list[Callable[[], None]] = []

    def behind(self) -> int:
        """Return how many versions the settings were behind when looked at."""
        return self._behind

    @property
    def desk(self) -> Desk:
        """Settings and last prices, for reading; it has no accounts."""
        return self._engine.desk

    @property
    def is_informed(self) -> bool:
        """Whether the settings are known."""
        return self._informed.is_set()

    def symbols(self) -> dict[str, Symbol]:
        """Return the symbols by name, for reading."""
        return self.desk.symbols

    async def informed(self) -> None:
        """Wait until the settings are known."""
        await self._informed.wait()

    async def run_once(self) -> None:
        """Take over settings that are newer, or older: those of a database that was restored.

        Raises:
            Unreachable: the database is away.
        """
        desk = self.desk
        newest = await self._versions.newest()
        self._behind = max(0, newest - desk.settings_version) if self.is_informed else 0
        if self.is_informed and newest == desk.settings_version:
            return
        take_settings(desk, await self._versions.load())
        if not self.is_informed:
            async with self._database.read("quotes") as connection:
                await load_quotes(connection, desk)
        self._behind = 0
        self._informed.set()
        for hook in self.settings_hooks:
            hook()

    def on_quote(self, quote: Quote, arrived_ns: int | None = None) -> None:
        """Take a live quote, guarded by the clock it arrived at: `arrived_ns`, if not now."""
        self._engine.admit(quote, time.time_ns() if arrived_ns is None else arrived_ns)
