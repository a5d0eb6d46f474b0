"""A term: the time for which this process trades a shard under one lease.

It begins with the book loaded as it was committed, and the prices followed as a standby. It ends
when the lease is lost, or when the shard is wanted here no more: then nothing more is decided, what
was decided is committed, and the lease is let go, in this order. Whoever takes it goes on where the
writing ended.
"""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from loguru import logger

from service.domain.desk import Desk
from service.loops.rules import Rules
from service.loops.taking_over import keep_newer_prices, load_book
from service.loops.trading import Trading
from service.storage import lease as leases
from service.storage.database import Database
from service.storage.errors import Fenced, Unreachable, is_transient
from service.storage.lease import Lease
from service.storage.loader import save_quotes
from service.storage.writer import Writer
from telemetry.pulse import Pulse

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

DRAIN_TIMEOUT_S = 5.0
RENEWAL_RETRY_S = 0.5
TRUSTED_SHARE = 0.8


def trust(trading: Trading, rules: Rules, since_s: float) -> None:
    """Believe in the lease from when it was asked for; a replay's is nobody else's."""
    if not rules.is_replay:
        trading.trust_lease(since_s + TRUSTED_SHARE * rules.lease_life_s)


class Term:
    """One term of a shard's leader."""

    def __init__(
        self,
        database: Database,
        trading: Trading,
        prices: Callable[[], Desk],
        rules: Rules,
        lease: Lease,
        pulse: Pulse,
    ) -> None:
        """Take where the newest prices that this process has seen are."""
        self._database = database
        self._prices = prices
        self._trading = trading
        self._rules = rules
        self._lease = lease
        self._pulse = pulse
        self._since_s = time.monotonic()

    async def serve(
        self, connection: "Connection", unwanted: asyncio.Event, begun: Callable[[], None]
    ) -> None:
        """Trade until the shard is wanted no more; `begun` is called when trading begins.

        Raises:
            Fenced: another process has the lease.
            Diverged: the database refused a change of settings that memory has taken.
            Exception: what made the memory one that cannot be trusted.
        """
        renewing = asyncio.create_task(self._renew(connection))
        trading = asyncio.create_task(self._trade(begun))
        leaving = asyncio.create_task(unwanted.wait())
        try:
            await asyncio.wait((renewing, trading, leaving), return_when=asyncio.FIRST_COMPLETED)
            for task in (trading, renewing):
                if task.done():
                    task.result()
            await self._leave(trading, renewing)
        finally:
            for each in (trading, renewing, leaving):
                await _cancel(each)

    async def _trade(self, begun: Callable[[], None]) -> None:
        rules, lease = self._rules, self._lease
        engine = await load_book(
            self._database, lease, rules.shard, rules.guard, is_replay=rules.is_replay
        )
        if not rules.is_replay:
            keep_newer_prices(self._prices(), engine.desk)
        engine.begin()
        if rules.is_replay:
            engine.examine_all()  # of the tick that is judged once more, a part may be stored
        writer = Writer(self._database, lease, self._trading.symbols, self._trading)
        self._trading.lead(engine, writer)
        logger.info(
            "trading under epoch {} of shard {}: {} accounts, {} live orders",
            lease.epoch,
            lease.shard,
            len(engine.desk.accounts),
            len(engine.desk.orders),
        )
        vacant_s = lease.vacant_s + time.monotonic() - self._since_s
        self._trading.instruments.shard_taken(lease.shard, lease.vacancy, vacant_s)
        begun()
        await writer.run()

    async def _leave(self, trading: "asyncio.Task[None]", renewing: "asyncio.Task[None]") -> None:
        """Commit what is decided, store the last prices and let the next owner in; bounded."""
        # Prices are the same in every shard, and the first stores them.
        is_pricing = self._trading.is_leading and not (self._lease.shard or self._rules.is_replay)
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                if self._trading.is_leading:
                    self._trading.retire()
                    await self._drained(trading)
                else:
                    await _cancel(trading)  # it is still loading
                await _cancel(renewing)
                async with self._database.read("lease") as connection:
                    if is_pricing:
                        await save_quotes(connection, self._trading.desk)
                    await leases.release(connection, self._lease)
        except (TimeoutError, Unreachable) as error:
            logger.error(
                "stopped with {} decisions not committed; they will be judged anew: {}",
                self._trading.backlog,
                str(error) or f"the database did not answer within {DRAIN_TIMEOUT_S:g} s",
            )

    async def _drained(self, trading: "asyncio.Task[None]") -> None:
        """Wait until what is decided is committed; raise why it will not be."""
        draining = asyncio.create_task(self._trading.drained())
        try:
            await asyncio.wait((draining, trading), return_when=asyncio.FIRST_COMPLETED)
        finally:
            draining.cancel()
        if trading.done():
            trading.result()

    async def _renew(self, connection: "Connection") -> None:
        lease, life_s = self._lease, self._rules.lease_life_s
        rest_s = life_s / 3
        try:
            while True:
                await asyncio.sleep(rest_s)
                self._pulse.beat()
                try:
                    if connection.is_closed():
                        connection = await self._database.connect()
                    since_s = time.monotonic()
                    async with self._database.measured("lease"):
                        is_ours = await leases.renew(connection, lease, life_s)
                    if not is_ours:
                        raise Fenced(f"the lease of shard {lease.shard} was taken over")
                    trust(self._trading, self._rules, since_s)
                    rest_s = life_s / 3
                except Exception as error:
                    if not is_transient(error):
                        raise
                    connection.terminate()
                    rest_s = min(RENEWAL_RETRY_S, life_s / 3)
        finally:
            connection.terminate()


async def _cancel(task: "asyncio.Task[None] | asyncio.Task[bool]") -> None:
    task.cancel()
    await asyncio.wait((task,))
