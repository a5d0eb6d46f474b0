"""Leadership: which process trades.

One process holds the lease of the shard, has loaded its engine and writes; the others wait as
standbys and try to take the lease as soon as it is free. A leader that finds itself fenced stops at
once and starts over as a standby.

A lease that could not be renewed is believed in for `TRUSTED_SHARE` of its life by this process's
own monotonic clock, which no other clock has to agree with: before the lease can be another's this
process takes no commands and looks for nothing any more. What ticks decide waits meanwhile, since
with the database away nobody else trades either, and is fenced where somebody does.
"""

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

from loguru import logger

from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.quote import QuoteGuard
from service.domain.shard import ALL_ACCOUNTS, AccountShard
from service.loops.loop_status import describe_error
from service.loops.trading import Trading
from service.storage import lease as leases
from service.storage.database import Database
from service.storage.errors import Diverged, Fenced, Unreachable, is_transient
from service.storage.lease import Lease
from service.storage.loader import load_engine, load_quotes, load_settings, save_quotes
from service.storage.shards import divide
from service.storage.writer import Writer
from telemetry.pulse import Pulse

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

DRAIN_TIMEOUT_S = 5.0
RETRY_S = 0.5
STANDBY_ASKS_S = 0.5
ASKS_BETWEEN_SETTINGS = 5
TRUSTED_SHARE = 0.8


class Rules(NamedTuple):
    """How this process takes part.

    Attributes:
        holder: names this process in the lease; must differ between processes.
        lease_life_s: how long the lease outlives a process that died; renewed at a third of it.
        is_replay: ticks are their own clock, prices are primed from the file, not restored, and a
            lost lease is the end: whoever took it feeds the ticks.
        shard: whose accounts are traded.
    """

    holder: str
    guard: QuoteGuard
    lease_life_s: float = 10.0
    is_replay: bool = False
    shard: AccountShard = ALL_ACCOUNTS


class Leadership:
    """Gets and keeps the lease, and lets `Trading` trade while it lasts."""

    def __init__(self, database: Database, trading: Trading, rules: Rules) -> None:
        self._database = database
        self._trading = trading
        self._rules = rules
        self._lease: Lease | None = None
        self._gained = asyncio.Event()
        self._is_released = False
        self._at_lease = asyncio.Lock()
        self._informed = asyncio.Event()
        self.pulse = Pulse()

    @property
    def last_tick(self) -> int:
        """The tick of the last decision that was committed when the lease was taken."""
        return 0 if self._lease is None else self._lease.last_tick

    async def gained(self) -> None:
        """Wait until this process trades."""
        await self._gained.wait()

    async def informed(self) -> None:
        """Wait until the symbols are known, on a standby too."""
        await self._informed.wait()

    @property
    def is_informed(self) -> bool:
        """Whether the symbols are known."""
        return self._informed.is_set()

    async def run(self) -> None:
        """Wait for the lease, trade under it, and start over when it is lost.

        Raises:
            Fenced: a replay has lost the lease.
        """
        while True:
            connection = await self._connect()
            try:
                self._lease = await self._stand_by(connection)
                await self._lead(connection, self._lease)
            except (Fenced, Diverged) as error:
                if self._rules.is_replay:
                    raise
                logger.error("trading stopped: {}; starting over as a standby", error)
            except Exception as error:
                if not is_transient(error):
                    raise
                logger.warning("lost the database before trading began: {}", describe_error(error))
                await asyncio.sleep(RETRY_S)
            finally:
                self._lease = None
                self._gained.clear()
                self._trading.step_down()
                connection.terminate()

    async def _connect(self) -> "Connection":
        while True:
            self.pulse.beat()
            try:
                return await self._database.connect()
            except Exception as error:
                if not is_transient(error):
                    raise
                await asyncio.sleep(RETRY_S)

    async def _stand_by(self, connection: "Connection") -> Lease:
        engine = Engine(Desk(self._rules.shard), self._rules.guard)
        async with self._database.measured("load"):
            await load_settings(connection, engine.desk)
        self._trading.follow(engine)
        self._informed.set()
        said = ""
        asked = 0
        while True:
            self.pulse.beat()
            lease, why = await self._take_lease(connection)
            if lease is not None:
                return lease
            if why != said:
                logger.info("waiting as a standby: {}", why)
                said = why
            await asyncio.sleep(STANDBY_ASKS_S)
            asked += 1
            if asked % ASKS_BETWEEN_SETTINGS == 0:
                # Whoever trades may have changed them, and a standby answers reads.
                async with self._database.measured("load"):
                    await load_settings(connection, engine.desk)

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
            self._trust(since_s)
        return lease, "another process trades"

    def _trust(self, since_s: float) -> None:
        """Believe in the lease from when it was asked for; a replay's is nobody else's."""
        if not self._rules.is_replay:
            self._trading.trust_lease(since_s + TRUSTED_SHARE * self._rules.lease_life_s)

    async def _lead(self, connection: "Connection", lease: Lease) -> None:
        renewing = asyncio.create_task(self._renew(connection, lease))
        try:
            engine = await self._load(lease)
            self._keep_newer_prices(engine.desk)
            engine.begin()
            if self._rules.is_replay:
                engine.examine_all()  # of the tick that is judged once more, a part may be stored
            writer = Writer(self._database, lease, self._trading.symbols, self._trading)
            self._trading.lead(engine, writer)
            logger.info(
                "trading under epoch {}: {} accounts, {} live orders",
                lease.epoch,
                len(engine.desk.accounts),
                len(engine.desk.orders),
            )
            self._gained.set()
            writing = asyncio.create_task(writer.run())
            try:
                done, _ = await asyncio.wait(
                    (writing, renewing), return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    task.result()
            finally:
                await _cancel(writing)
        finally:
            await _cancel(renewing)

    def _keep_newer_prices(self, desk: Desk) -> None:
        """Take the prices that were followed as a standby, where they are newer than the stored.

        They have judged nothing: like the stored ones they only price positions until a tick comes.
        """
        if self._rules.is_replay:
            return
        for name, followed in self._trading.desk.markets.items():
            market = desk.markets.get(name)
            if market is not None and followed.time > market.time:
                market.bid, market.ask, market.time = followed.bid, followed.ask, followed.time

    async def _load(self, lease: Lease) -> Engine:
        engine = Engine(Desk(self._rules.shard), self._rules.guard)
        loading = await self._database.connect()
        try:
            # A book takes as long as it is large.
            async with self._database.measured("load", limit=None):
                await load_engine(loading, engine)
                if not self._rules.is_replay:
                    await load_quotes(loading, engine.desk)
                    engine.desk.tick = lease.last_tick
        finally:
            await loading.close()
        desk = engine.desk
        desk.next_decision_id = desk.shard.first_id(lease.last_decision)
        return engine

    async def _renew(self, connection: "Connection", lease: Lease) -> None:
        life_s = self._rules.lease_life_s
        rest_s = life_s / 3
        try:
            while True:
                await asyncio.sleep(rest_s)
                self.pulse.beat()
                try:
                    if connection.is_closed():
                        connection = await self._database.connect()
                    async with self._at_lease:
                        if self._is_released:
                            continue
                        since_s = time.monotonic()
                        async with self._database.measured("lease"):
                            is_ours = await leases.renew(connection, lease, life_s)
                        if not is_ours:
                            raise Fenced(f"the lease of shard {lease.shard} was taken over")
                    self._trust(since_s)
                    rest_s = life_s / 3
                except Exception as error:
                    if not is_transient(error):
                        raise
                    connection.terminate()
                    rest_s = min(RETRY_S, life_s / 3)
        finally:
            connection.terminate()

    async def stop(self) -> None:
        """Commit what is decided, store the last prices and let the next owner in; bounded.

        The caller then ends `run`: until it does, the lease is not renewed.
        """
        lease = self._lease
        if lease is None or not self._trading.is_leading:
            return
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                await self._trading.drained()
                async with self._database.read("lease") as connection:
                    if not self._rules.is_replay:
                        await save_quotes(connection, self._trading.desk)
                    async with self._at_lease:
                        await leases.release(connection, lease)
                        self._is_released = True
        except (TimeoutError, Unreachable) as error:
            logger.error(
                "stopped with {} decisions not committed; they will be judged anew: {}",
                self._trading.backlog,
                str(error) or f"the database did not answer within {DRAIN_TIMEOUT_S:g} s",
            )


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait((task,))
