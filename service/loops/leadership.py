"""Leadership: which process trades a shard.

One process holds the lease of the shard, has loaded its engine and writes; the others wait as
standbys and try to take the lease as soon as it is free. A leader that finds itself fenced stops at
once and starts over as a standby. Where the shard is not wanted, this process stands aside: it has
no connection for it, and no book of it.

A lease that could not be renewed is believed in for `TRUSTED_SHARE` of its life by this process's
own monotonic clock, which no other clock has to agree with: before the lease can be another's this
process takes no commands and looks for nothing any more. What ticks decide waits meanwhile, since
with the database away nobody else trades either, and is fenced where somebody does.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from loguru import logger

from service.domain.desk import Desk
from service.domain.engine import Engine
from service.loops.loop_status import describe_error
from service.loops.rules import Rules
from service.loops.taking_over import forget_book
from service.loops.term import DRAIN_TIMEOUT_S, Term, trust
from service.loops.trading import Trading
from service.storage import lease as leases
from service.storage.database import Database
from service.storage.errors import Diverged, Fenced, is_transient
from service.storage.lease import Lease
from service.storage.loader import load_settings
from service.storage.shards import divide
from telemetry.pulse import Pulse

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

ASIDE_TIMEOUT_S = DRAIN_TIMEOUT_S + 1
RETRY_S = 0.5
STANDBY_TIMEOUT_S = 5.0
STANDBY_ASKS_S = 0.5
ASKS_BETWEEN_SETTINGS = 5


class Leadership:
    """Gets and keeps the lease while that is wanted, and lets `Trading` trade while it lasts."""

    def __init__(
        self,
        database: Database,
        trading: Trading,
        rules: Rules,
        *,
        prices: Callable[[], Desk] | None = None,
        changed: Callable[[], None] = lambda: None,
        is_wanted: bool = True,
    ) -> None:
        """Take what is done beside this shard.

        Args:
            prices: where prices are followed, if not by the shard alone.
            changed: called when the shard is traded or followed from now on, or is not any more.
            is_wanted: whether it is from the start.
        """
        self._database = database
        self._prices = prices or (lambda: trading.desk)
        self._changed = changed
        self._trading = trading
        self._rules = rules
        self._lease: Lease | None = None
        self._gained = asyncio.Event()
        self._lost = _set_event()
        self._wanted = asyncio.Event()
        self._unwanted = asyncio.Event()
        self._aside = _set_event()
        self._informed = asyncio.Event()
        self._why_left = "fair_share"
        self.pulse = Pulse()
        if is_wanted:
            self.want()
        else:
            self._unwanted.set()

    @property
    def last_tick(self) -> int:
        """The tick of the last decision that was committed when the lease was taken."""
        return 0 if self._lease is None else self._lease.last_tick

    @property
    def is_wanted(self) -> bool:
        """Whether this process should trade the shard, if it can."""
        return self._wanted.is_set()

    @property
    def is_aside(self) -> bool:
        """Whether the shard is neither traded here nor stood by for."""
        return self._aside.is_set()

    @property
    def is_informed(self) -> bool:
        """Whether the symbols are known."""
        return self._informed.is_set()

    async def gained(self) -> None:
        """Wait until this process trades."""
        await self._gained.wait()

    async def lost(self) -> None:
        """Wait until this process does not trade."""
        await self._lost.wait()

    async def informed(self) -> None:
        """Wait until the symbols are known, on a standby too."""
        await self._informed.wait()

    # Coming and going

    def want(self) -> None:
        """Stand by for the shard, and trade it when it is free, from now on."""
        self._unwanted.clear()
        self._wanted.set()

    def hand_over(self) -> None:
        """Begin to let another process trade the shard; where that is done, its book is dropped."""
        if self.is_wanted:
            self._why_left = "fair_share"
            self._wanted.clear()
            self._unwanted.set()

    async def stop(self) -> None:
        """Commit what is decided, store the last prices and let the next owner in; bounded.

        The book stays, for reading.
        """
        self._why_left = "shutdown"
        self._wanted.clear()
        self._unwanted.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(ASIDE_TIMEOUT_S):
                await self._aside.wait()

    async def run(self) -> None:
        """Wait for the lease, trade under it, and start over when it is lost.

        Raises:
            Fenced: a replay has lost the lease.
        """
        try:
            while True:
                if not self.is_wanted:
                    await self._stand_aside()
                self._aside.clear()
                await self._take_part()
        finally:
            self._aside.set()

    async def _stand_aside(self) -> None:
        if self._why_left == "fair_share":
            self._informed.clear()
            self._changed()
            await self._follow(self._empty_engine())
        self._aside.set()
        await self.pulse.rest(self._wanted.wait())

    async def _take_part(self) -> None:
        connection = await self._connect()
        if connection is None:
            return
        why = "failed"
        try:
            self._lease = await self._stand_by(connection)
            if self._lease is not None:
                term = Term(
                    self._database,
                    self._trading,
                    self._prices,
                    self._rules,
                    self._lease,
                    self.pulse,
                )
                await term.serve(connection, self._unwanted, self._begin)
            why = self._why_left
        except (Fenced, Diverged) as error:
            why = "lost" if isinstance(error, Fenced) else "failed"
            if self._rules.is_replay:
                raise
            logger.error("trading stopped: {}; starting over as a standby", error)
        except asyncio.CancelledError:
            why = "shutdown"
            raise
        except Exception as error:
            if not is_transient(error):
                raise
            why = "database"
            logger.warning("lost the database before trading began: {}", describe_error(error))
            await asyncio.sleep(RETRY_S)
        finally:
            self._lease = None
            self._trading.step_down()
            if self._gained.is_set():
                self._trading.instruments.shard_left(why)
            self._gained.clear()
            self._lost.set()
            self._changed()
            connection.terminate()

    def _begin(self) -> None:
        self._lost.clear()
        self._gained.set()
        self._changed()

    async def _connect(self) -> "Connection | None":
        while self.is_wanted:
            self.pulse.beat()
            try:
                return await self._database.connect(STANDBY_TIMEOUT_S)
            except Exception as error:
                if not is_transient(error):
                    raise
                await self._pause(RETRY_S)
        return None

    async def _pause(self, seconds: float) -> None:
        """Wait, unless the shard is wanted no more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._unwanted.wait()

    # Standing by

    async def _stand_by(self, connection: "Connection") -> Lease | None:
        """Wait for the lease; None: the shard is wanted no more."""
        engine = self._empty_engine()
        async with self._database.measured("load"):
            await load_settings(connection, engine.desk)
        await self._follow(engine)
        self._informed.set()
        self._changed()
        said = ""
        asked = 0
        while self.is_wanted:
            self.pulse.beat()
            lease, why = await self._take_lease(connection)
            if lease is not None:
                return lease
            if why != said:
                logger.info("waiting as a standby: {}", why)
                said = why
            await self._pause(STANDBY_ASKS_S)
            asked += 1
            if asked % ASKS_BETWEEN_SETTINGS == 0:
                # Whoever trades may have changed them, and a standby answers reads.
                async with self._database.measured("load"):
                    await load_settings(connection, engine.desk)
        return None

    async def _follow(self, engine: Engine) -> None:
        """Follow prices on an engine without a book, and let go of the book there was."""
        former = self._trading.desk
        self._trading.follow(engine)
        await forget_book(former)

    def _empty_engine(self) -> Engine:
        return Engine(Desk(self._rules.shard), self._rules.guard)

    async def _take_lease(self, connection: "Connection") -> tuple[Lease | None, str]:
        """Take the lease of the shard; where that cannot be, tell why."""
        shard, rules = self._rules.shard, self._rules
        since_s = time.monotonic()
        async with self._database.measured("lease"):
            of = await divide(connection, shard.of)
            if of != shard.of:
                return None, (
                    f"others trade {of} shards and this process {shard.of}: run the same version "
                    "everywhere, or stop all to change the number"
                )
            lease = await leases.acquire(connection, shard.number, rules.holder, rules.lease_life_s)
        if lease is not None:
            trust(self._trading, rules, since_s)
        return lease, "another process trades"


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
