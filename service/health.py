"""What the readiness of the service depends on, asked one by one.

The feed is judged by the newest quote of the symbols that are in session: a closed market is no
fault, and one that has just opened has as long for its first quote as any other quote may be old.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from service.api.readiness import Check
from service.domain.market import Market
from service.feed.feed import Feed
from service.roles import answers_gateways
from service.storage.errors import Unreachable

_NS_PER_S = 1_000_000_000


class WatchedMarket:
    """The market as it reaches this process.

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
        self._markets = markets
        self._max_age_s = max_age_s
        self._clock = clock
        self._was_closed = False
        self._opened_at = 0

    def fault(self) -> str | None:
        """Return what is wrong apart from quotes that do not come."""
        return None

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
        if (fault := self.fault()) is not None:
            return False, fault
        # Heartbeats, and quotes that are all refused, do not make a market.
        newest = max((market.time for market in open_markets), default=0)
        if not newest:
            return False, "no quote yet"
        age_s = (now - newest) / _NS_PER_S
        waited_s = (now - max(newest, self._opened_at)) / _NS_PER_S
        return waited_s <= self._max_age_s, f"last quote {age_s:.1f} s ago"


class WatchedFeed(WatchedMarket):
    """The feed as seen from outside; there is none before the symbols are known."""

    feed: Feed | None = None

    @property
    def is_healthy(self) -> bool:
        return self.feed is not None and self.feed.healthy

    @property
    def last_message_s(self) -> float:
        """Unix time of the last message, 0 before the first."""
        last = None if self.feed is None else self.feed.last_message_time
        return 0.0 if last is None else last / _NS_PER_S

    def fault(self) -> str | None:
        if self.is_healthy:
            return None
        return "no messages" if self.last_message_s else "no message yet"


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


class Shares(HoldsLease, Protocol):
    """Who trades the shards that are its share, which may be none."""

    def leads(self, shard: int) -> bool: ...
    async def check_writer(self) -> tuple[bool, str]: ...


def shares_check(front: Shares, shards: int) -> Check:
    """Return the check of an engine among others: what it trades it trades well, if that is none.

    So that neither a rollout nor a drain waits for a spare engine to be given a shard.
    """

    async def check() -> tuple[bool, str]:
        if not front.is_leading:
            return True, "stands by: other engines trade, or none yet"
        if not front.has_lease:
            return False, "a lease could not be renewed in time"
        is_writing, said = await front.check_writer()
        led = ", ".join(str(each) for each in range(shards) if front.leads(each))
        return is_writing, f"trades {led} of {shards} shards, {said}"

    return check


def duty_check(is_feeding: Callable[[], bool]) -> Check:
    """Return the check of a feed among others, which is ready whether it is the one that writes."""

    async def check() -> tuple[bool, str]:
        return True, "writes the ticks" if is_feeding() else "stands by: another feed writes them"

    return check


class Leases(Protocol):
    """Which shards there are; raises `Unreachable`."""

    async def holders(self) -> Sequence[str | None]:
        """Return who trades each shard that the database knows, None: nobody."""
        ...


def division_check(leases: Leases, shards: int) -> Check:
    """Return the check of a gateway that it knows whom an account is with."""

    async def check() -> tuple[bool, str]:
        of = len(await leases.holders())
        if of == shards:
            return True, f"{shards} shards"
        return False, (
            f"the database has {of} shards, TAPEWATCH_SHARDS says {shards}: set the same everywhere"
        )

    return _answering(check)


def engines_check(leases: Leases) -> Check:
    """Return the check of a gateway that whoever trades hears what it asks."""

    async def check() -> tuple[bool, str]:
        deaf = _numbers(await leases.holders(), lambda by: by and not answers_gateways(by))
        if not deaf:
            return True, "who trades hears gateways"
        return False, (
            f"shards {deaf} are traded by a process of role all, which answers its own clients "
            "alone: stop it, and start engines (tapewatch serve --role engine)"
        )

    return _answering(check)


def traders_check(leases: Leases) -> Check:
    """Return the check that somebody trades every shard; where not, the others are answered for."""

    async def check() -> tuple[bool, str]:
        holders = await leases.holders()
        untraded = _numbers(holders, lambda by: by is None)
        if not untraded:
            return True, "every shard is traded"
        return False, f"nobody trades {untraded} of {len(holders)} shards"

    return _answering(check)


def _numbers(holders: Sequence[str | None], meant: Callable[[str | None], object]) -> str:
    """List the shards whose holders are meant."""
    return ", ".join(str(number) for number, holder in enumerate(holders) if meant(holder))


def _answering(check: Check) -> Check:
    """Take a database that is away for what it is."""

    async def asked() -> tuple[bool, str]:
        try:
            return await check()
        except Unreachable as error:
            return False, str(error)

    return asked


def database_check(ping: Callable[[], Awaitable[object]]) -> Check:
    """Return the check that the database answers."""

    async def check() -> tuple[bool, str]:
        await ping()
        return True, "answers"

    return _answering(check)


def cache_check(ping: Callable[[], Awaitable[bool]]) -> Check:
    """Return the check that Redis answers."""

    async def check() -> tuple[bool, str]:
        ok = await ping()
        return ok, "answers" if ok else "does not answer: reads fall back to the database"

    return check
