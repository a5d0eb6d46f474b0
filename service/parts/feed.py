"""The feed part of a process: quotes from upstream to whoever trades, and the last ones stored."""

import asyncio
from collections.abc import AsyncIterator, Callable

from aiohttp import web
from loguru import logger

from service.feed.feed import OnQuote
from service.feeds import make_feed
from service.health import WatchedFeed
from service.parts.foundation import Foundation
from service.parts.market import Market
from service.settings import Settings
from service.storage.loader import save_quotes
from telemetry.pulse import Pulse

SAVE_QUOTES_INTERVAL_S = 5.0
# Longer than a silent upstream, or the next attempt to reach it, may take.
FEED_DEADLINE_S = 60.0


class FeedPart:
    """Hands on the quotes of the feed that the settings name; its lifetime is `run`."""

    def __init__(
        self,
        settings: Settings,
        base: Foundation,
        market: Market,
        quotes: Callable[[], OnQuote],
        is_writer: Callable[[], bool],
    ) -> None:
        """Take what says whom quotes go to, and whether it is this process that stores the last."""
        self._settings = settings
        self._base = base
        self._market = market
        self._quotes = quotes
        self._is_writer = is_writer
        self._pulse = Pulse()
        watched = self._watched = WatchedFeed(lambda: market.desk.markets, settings.max_quote_age_s)
        base.instruments.watch_feed(lambda: watched.is_healthy, lambda: watched.last_message_s)
        base.readiness.register("feed", watched.check)

    async def run(self, _: web.Application) -> AsyncIterator[None]:
        """Feed, and store the last quotes."""
        async with self._base.supervisor.group() as loops:
            loops.keep("feed", self._run_feed, self._pulse, deadline_s=FEED_DEADLINE_S)
            loops.repeat("save_quotes", self._save, interval_s=SAVE_QUOTES_INTERVAL_S)
            yield

    async def _run_feed(self) -> None:
        await self._pulse.rest(self._market.informed())
        feed = make_feed(self._settings, self._market.symbols, self._base.instruments, self._pulse)
        self._watched.feed = feed
        await feed.run(self._quotes())
        logger.info("the feed has come to its end")
        await self._pulse.rest(asyncio.Event().wait())

    async def _save(self) -> None:
        if not self._is_writer():
            return
        async with self._base.database.read("quotes") as connection:
            await save_quotes(connection, self._market.desk)
