"""Loops that measure the process itself and the servers it uses, rather than do anything."""

import time
from collections.abc import Callable

from service.instruments import Instruments
from service.loops.supervisor import LoopGroup
from service.storage.cache import Cache
from service.storage.database import Database
from service.storage.errors import Unreachable
from telemetry.runtime import Runtime

ASK_INTERVAL_S = 2.0
SILENCE_LIMIT_S = 5.0


class Dependency:
    """A server this process uses: up until it was asked in vain for `SILENCE_LIMIT_S`.

    Time in which nobody asked counts for nothing, so that a process that was suspended does not
    take its own silence for that of a server.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked_at = clock()
        self._in_vain_since: float | None = None

    def asks(self) -> None:
        self._asked_at = self._clock()

    def was_asked(self, *, answered: bool) -> None:
        """Take what became of what was asked last."""
        if answered:
            self._in_vain_since = None
        elif self._in_vain_since is None:
            self._in_vain_since = self._asked_at

    @property
    def is_up(self) -> bool:
        since = self._in_vain_since
        return since is None or self._clock() - since <= SILENCE_LIMIT_S


class OwnState:
    """How the process is and the servers it uses, exported from now on, and kept up to date."""

    def __init__(self, instruments: Instruments, database: Database, cache: Cache) -> None:
        self._instruments = instruments
        self._database = database
        self._cache = cache
        self._runtime = Runtime(instruments.metrics)
        self._postgresql, self._redis = Dependency(), Dependency()
        instruments.watch_dependency("postgresql", lambda: self._postgresql.is_up)
        instruments.watch_dependency("redis", lambda: self._redis.is_up)

    def keep(self, loops: LoopGroup) -> None:
        """Have the event loop's lag sampled, and both servers asked how they are, from now on."""
        loops.keep("runtime", self._runtime.run, self._runtime.pulse)
        loops.repeat("postgresql_state", self._ask_postgresql, interval_s=ASK_INTERVAL_S)
        loops.repeat("redis_state", self._ask_redis, interval_s=ASK_INTERVAL_S)

    # A server that does not answer is no failure of the loop that asks.

    async def _ask_postgresql(self) -> None:
        self._postgresql.asks()
        try:
            await self._database.ping()
        except Unreachable:
            self._postgresql.was_asked(answered=False)
        else:
            self._postgresql.was_asked(answered=True)

    async def _ask_redis(self) -> None:
        self._redis.asks()
        state = await self._cache.state()
        self._redis.was_asked(answered=state is not None)
        if state is not None:
            self._instruments.redis_state(*state)
