"""What the readiness of the service depends on, asked one by one.

The feed is judged by the newest quote of the symbols that are in session: a closed market is no
fault, and one that has just opened has as long for its first quote as any other quote may be old.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from service.api.readiness import Check
from service.domain.market import Market
from service.feed.feed import Feed
from service.storage.errors import Unreachable

_NS_PER_S = 1_000_000_000


class WatchedFeed:
    """The feed as seen from outside; there is none before the symbols are known.

    Args:
        markets: the markets by symbol.
        max_age_s: older quotes are none.
        clock: ns UTC.
    """

    def __init__(
        self,
        markets: Callable[[], Mapping[str, Market]],
        max_age_s: float,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.feed: Feed | None = None
        self._markets = markets
        self._max_age_s = max_age_s
        self._clock = clock
        self._was_closed = False
        self._opened_at = 0

    @property
    def is_healthy(self) -> bool:
        return self.feed is not None and self.feed.healthy

    @property
    def last_message_s(self) -> float:
        """Unix time of the last message, 0 before the first."""
        last = None if self.feed is None else self.feed.last_message_time
        return 0.0 if last is None else last / _NS_PER_S

    async def check(self) -> tuple[bool, str]:
        """Tell whether quotes come for what is in session, and how old the newest is."""
        markets, now = self._markets(), self._clock()
        sessions = in_session(markets, now)
        open_markets = [market for name, market in markets.items() if sessions[name]]
        if markets and not open_markets:
            self._was_closed = True
            return True, "no symbol is in session"
        if self._was_closed:
            self._was_closed, self._opened_at = False, now
        if not self.is_healthy:
            return False, "no messages" if self.last_message_s else "no message yet"
        # Heartbeats, and quotes that are all refused, do not make a market.
        newest = max((market.time for market in open_markets), default=0)
        if not newest:
            return False, "no quote yet"
        age_s = (now - newest) / _NS_PER_S
        waited_s = (now - max(newest, self._opened_at)) / _NS_PER_S
        return waited_s <= self._max_age_s, f"last quote {age_s:.1f} s ago"


def in_session(markets: Mapping[str, Market], now: int) -> dict[str, bool]:
    """Tell of each market whether it is in session at `now` (ns UTC)."""
    # Many symbols, few kinds of sessions: each is worked out once.
    kinds = {market.symbol.sessions for market in markets.values()}
    is_open = {each: each is None or each.at(now)[0] for each in kinds}
    return {name: is_open[market.symbol.sessions] for name, market in markets.items()}


class HoldsLease(Protocol):
    """Who trades, or a standby."""

    @property
    def is_leading(self) -> bool: ...
    @property
    def has_lease(self) -> bool: ...


def lease_check(trading: HoldsLease) -> Check:
    """Return the check that this process is the one that trades."""

    async def check() -> tuple[bool, str]:
        if not trading.is_leading:
            return False, "not held: another process trades, or none yet"
        return trading.has_lease, "held" if trading.has_lease else "could not be renewed in time"

    return check


def database_check(ping: Callable[[], Awaitable[object]]) -> Check:
    """Return the check that the database answers."""

    async def check() -> tuple[bool, str]:
        try:
            await ping()
        except Unreachable as error:
            return False, str(error)
        return True, "answers"

    return check


def cache_check(ping: Callable[[], Awaitable[bool]]) -> Check:
    """Return the check that Redis answers."""

    async def check() -> tuple[bool, str]:
        ok = await ping()
        return ok, "answers" if ok else "does not answer: reads fall back to the database"

    return check
