"""The engine part of a process: what it trades, and what is looked after beside trading."""

from collections.abc import AsyncIterator, Callable

from aiohttp import web

from service.domain.quote import QuoteGuard
from service.engine_host import EngineHost
from service.health import lease_check, shares_check
from service.loops.bus import Bus
from service.loops.prices import PriceBoard
from service.parts.foundation import Foundation
from service.settings import Settings
from service.storage.settings_version import SETTINGS_SHARD


class EnginePart:
    """Trades what this process has the lease for, on the quotes and commands of a bus.

    Its lifetimes are `trade` and `look`, to be begun in this order, the feed after them.
    """

    def __init__(
        self,
        settings: Settings,
        base: Foundation,
        bus: Bus,
        board: PriceBoard,
        holder: str,
        guard: QuoteGuard,
        *,
        shares: bool,
        is_fit: Callable[[], bool] = lambda: True,
    ) -> None:
        """With `shares` it trades its fair share of the shards, else all of them or none.

        `is_fit` tells whether it can trade at all, so that another should where it cannot.
        """
        self._base = base
        self.host = EngineHost(
            settings,
            holder,
            guard,
            base.database,
            base.cache,
            base.reader,
            board,
            base.instruments,
            shares=shares,
            is_fit=is_fit,
        )
        self.host.serve(bus)
        front = self.front = self.host.front
        if shares:
            base.readiness.register("shards", shares_check(front, settings.shards))
        else:
            base.readiness.register("lease", lease_check(front))
            base.readiness.register("writer", front.check_writer)

    @property
    def stores_prices(self) -> bool:
        """Whether it is this process whose prices are everybody's."""
        return self.host.shards[SETTINGS_SHARD].trading.is_leading

    async def trade(self, _: web.Application) -> AsyncIterator[None]:
        """Trade; in the end commit what is decided and let the next owners in."""
        async with self._base.supervisor.group() as loops:
            self.host.keep_trading(loops)
            yield
            await self.host.stop()

    async def look(self, _: web.Application) -> AsyncIterator[None]:
        """Look after what no tick sees to."""
        async with self._base.supervisor.group() as loops:
            self.host.keep_looking(loops)
            yield
