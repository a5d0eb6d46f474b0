"""Feed duty: of several feeds one writes the ticks, the others stand by and write nothing.

Who is on duty renews the lease at a third of its life; a standby asks every `STANDBY_ASKS_S`, so
that ticks go on within the lease's life and that. While the database is away nobody can take the
lease over, and who is on duty goes on. One that has lost it without knowing, suspended for a while,
may write until it asks again: its epoch is older than the new one's, and readers refuse it.
"""

import asyncio
from contextlib import suppress

from loguru import logger

from service.loops.tick_stream import TickWriter
from service.storage import feed_lease
from service.storage.database import Database
from service.storage.errors import Unreachable
from telemetry.pulse import Pulse

STANDBY_ASKS_S = 0.5


class FeedDuty:
    """Gets and keeps the feeds' lease, and lets the writer write while it lasts."""

    def __init__(
        self, database: Database, writer: TickWriter, holder: str, lease_life_s: float
    ) -> None:
        self._database = database
        self._writer = writer
        self._holder = holder
        self._life_s = lease_life_s
        self._epoch: int | None = None
        self.pulse = Pulse()

    async def run(self) -> None:
        """Take turns until cancelled."""
        while True:
            with suppress(Unreachable):
                await self._ask()
            self.pulse.beat()
            rest_s = self._life_s / 3 if self._writer.is_leading else STANDBY_ASKS_S
            await asyncio.sleep(min(rest_s, self._life_s / 3))

    async def stop(self) -> None:
        """Let the next feed in; the caller has ended `run`."""
        self._writer.rest()
        epoch, self._epoch = self._epoch, None
        if epoch is not None:
            with suppress(Unreachable):  # then it expires
                async with self._database.read("lease") as connection:
                    await feed_lease.release(connection, epoch)

    async def _ask(self) -> None:
        async with self._database.read("lease") as connection:
            epoch = await feed_lease.hold(connection, self._holder, self._epoch, self._life_s)
        if epoch == self._epoch:
            return
        if epoch is None:
            logger.error("another feed writes the ticks now: standing by")
            self._writer.rest()
        else:
            logger.info("writing the ticks under epoch {}", epoch)
            self._writer.lead(epoch)
        self._epoch = epoch
