"""The warm-up: when trading begins, accounts with live orders are filled into the cache (R1).

Accounts with positions come first, for the portfolio job asks for them every minute; `MAX_ACCOUNTS`
bounds what it takes of Redis and of the database, the others are filled when they are asked for. It
works in small pages with a pause after each, beside trading and never before it. A server that is
away ends it: what is not warm is only slower.
"""

import asyncio
from collections.abc import Callable

from loguru import logger

from service.domain.desk import Desk
from service.domain.order import OrderStatus
from service.instruments import Instruments
from service.loops.portfolio import LiveOrdersReader
from service.storage.cache import Cache
from service.storage.errors import Unreachable
from telemetry.pulse import Pulse

MAX_ACCOUNTS = 50_000
ACCOUNTS_IN_PAGE = 100
PAUSE_S = 0.01
LISTED_AT_ONCE = 10_000
_OPEN = OrderStatus.OPEN


class WarmUp:
    """Fills the cache from the database for whoever trades."""

    def __init__(
        self,
        desk: Callable[[], Desk],
        cache: Cache,
        reader: LiveOrdersReader,
        instruments: Instruments,
    ) -> None:
        self._desk = desk
        self._cache = cache
        self._reader = reader
        self._instruments = instruments
        self._due = asyncio.Event()
        self.pulse = Pulse()

    def lead(self) -> None:
        """Warm the cache; called when trading begins."""
        self._due.set()

    async def run(self) -> None:
        """Warm the cache whenever trading begins."""
        while True:
            await self.pulse.rest(self._due.wait())
            self._due.clear()
            try:
                await self._fill(self._desk())
            except Unreachable as error:
                logger.warning("the cache is not warm, accounts are filled as asked for: {}", error)

    async def _fill(self, desk: Desk) -> None:
        account_ids = await self._listed(desk)
        filled = 0
        for start in range(0, len(account_ids), ACCOUNTS_IN_PAGE):
            if self._desk() is not desk:
                return  # trading stopped
            part = account_ids[start : start + ACCOUNTS_IN_PAGE]
            ticket = await self._cache.open_fill(part)
            if ticket is None:
                raise Unreachable("Redis does not answer")
            found = await self._reader.live_orders(part)
            count = await self._cache.fill_static_orders(ticket, list(found.values()))
            self._instruments.cache_warmed(count)
            filled += count
            self.pulse.beat()
            await asyncio.sleep(PAUSE_S)
        logger.info("the cache is warm: {} of {} accounts filled", filled, len(account_ids))

    async def _listed(self, desk: Desk) -> list[int]:
        """List accounts with live orders, those with positions first."""
        with_positions: dict[int, None] = {}
        others: dict[int, None] = {}
        for number, order in enumerate(list(desk.orders.values()), 1):
            listed = with_positions if order.status is _OPEN else others
            listed[order.account.account_id] = None
            if number % LISTED_AT_ONCE == 0:
                self.pulse.beat()
                await asyncio.sleep(0)
        return list(with_positions | others)[:MAX_ACCOUNTS]
