"""The market part of a process: settings and last prices, shown by groups."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Protocol

from aiohttp import web

from service.domain.desk import Desk
from service.domain.instrument import Symbol
from service.health import WatchedMarket, in_session
from service.loops.market_desk import MarketDesk
from service.loops.prices import SHOW_INTERVAL_S, PriceBoard
from service.loops.settings_follower import FOLLOW_INTERVAL_S
from service.parts.foundation import Foundation
from service.storage.errors import Unreachable

_NS_PER_S = 1_000_000_000


class Market(Protocol):
    """Settings and last prices of this process."""

    @property
    def desk(self) -> Desk: ...

    def symbols(self) -> dict[str, Symbol]: ...

    async def informed(self) -> None: ...


class MarketPart:
    """Shows the market of the moment on its `board`; its lifetimes are `follow` and `show`."""

    def __init__(
        self,
        base: Foundation,
        market: Callable[[], Market],
        stores_prices: Callable[[], bool],
        desk: MarketDesk | None = None,
    ) -> None:
        """Take whether it is this process, of all that show prices, that stores them.

        `desk` is the market of who does not trade.
        """
        self._base = base
        self._market = market
        self._desk = desk
        self.board = PriceBoard(lambda: market().desk, base.cache, base.instruments, stores_prices)
        if desk is not None:
            desk.settings_hooks.append(self.board.settings_changed)
            base.instruments.watch_settings(desk.behind)
        base.instruments.watch_last_quotes(
            lambda: {name: m.time / _NS_PER_S for name, m in market().desk.markets.items()}
        )
        base.instruments.watch_sessions(lambda: in_session(market().desk.markets, time.time_ns()))

    def require_quotes(self, max_age_s: float) -> None:
        """Be ready only while quotes come for what is in session."""
        watched = WatchedMarket(lambda: self._market().desk.markets, max_age_s)
        self._base.readiness.register("market", watched.check)

    async def follow(self, _: web.Application) -> AsyncIterator[None]:
        """Keep the settings up to date where nobody trades."""
        async with self._base.supervisor.group() as loops:
            if self._desk is not None:
                with suppress(Unreachable):  # the loop asks again
                    await self._desk.run_once()
                loops.repeat("settings", self._desk.run_once, interval_s=FOLLOW_INTERVAL_S)
            yield

    async def show(self, _: web.Application) -> AsyncIterator[None]:
        """Show prices to who listens, and store them."""
        async with self._base.supervisor.group() as loops:
            loops.keep("price_writer", self.board.write, self.board.pulse)
            loops.repeat("prices", self.board.run_once, interval_s=SHOW_INTERVAL_S)
            yield
