"""The engine part of a process: what it trades, and what is looked after beside trading."""

from collections.abc import AsyncIterator

from aiohttp import web

from service.domain.quote import QuoteGuard
from service.health import lease_check
from service.keeping import make_retention
from service.loops.bus import Bus
from service.loops.leadership import Rules
from service.loops.prices import PriceBoard
from service.loops.retention import RETENTION_INTERVAL_S
from service.parts.foundation import Foundation
from service.settings import Settings
from service.traded_shard import TradedShard


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
    ) -> None:
        self._base = base
        rules = Rules(holder, guard, settings.lease_s)
        traded = self._traded = TradedShard(
            rules, settings, base.database, base.cache, base.reader, board, base.instruments
        )
        self.trading = traded.trading
        bus.serve(traded.shard, traded.intake, self.trading.on_quote)
        self._retention = make_retention(settings, base.database, self.trading)
        base.readiness.register("lease", lease_check(self.trading))
        base.readiness.register("writer", self.trading.check_writer)

    async def informed(self) -> None:
        """Wait until the symbols are known, on a standby too."""
        await self._traded.leadership.informed()

    async def trade(self, _: web.Application) -> AsyncIterator[None]:
        """Trade; in the end commit what is decided and let the next owner in."""
        async with self._base.supervisor.group() as loops:
            self._traded.keep_trading(loops)
            yield
            await self._traded.leadership.stop()

    async def look(self, _: web.Application) -> AsyncIterator[None]:
        """Look after what no tick sees to."""
        async with self._base.supervisor.group() as loops:
            self._traded.keep_looking(loops)
            loops.repeat("retention", self._retention.run_once, interval_s=RETENTION_INTERVAL_S)
            yield
