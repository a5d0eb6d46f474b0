"""A change of settings as the writer stores it: in its place among the decisions, fenced like them.

It is one transaction that moves the lease's chain of batches on, so that it applies once, however
often it is sent.
"""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.storage.lease import Lease

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

SettingsStatement = tuple[str, tuple[object, ...]]

# A connection that dies in silence must not keep the lease's row locked.
_END_WHEN_IDLE = "SET LOCAL idle_in_transaction_session_timeout = '10s'"
_ADVANCE = """
UPDATE shard_leases SET last_batch = $4 WHERE shard = $1 AND epoch = $2 AND last_batch = $3
RETURNING true
"""


@dataclass(frozen=True, slots=True)
class SettingsWrite:
    """Statements with their arguments, and who waits for them."""

    statements: Sequence[SettingsStatement]
    done: "asyncio.Future[None]"

    async def store(
        self, connection: "Connection", lease: Lease, previous: uuid.UUID, batch: uuid.UUID
    ) -> bool:
        """Apply it as `batch`; False, and nothing changed, if `previous` was not the last one."""
        async with connection.transaction():
            await connection.execute(_END_WHEN_IDLE)
            if not await connection.fetchval(_ADVANCE, lease.shard, lease.epoch, previous, batch):
                return False
            for statement, arguments in self.statements:
                await connection.execute(statement, *arguments)
        return True

    def fail(self, error: Exception) -> None:
        """Tell whoever waits, if somebody does."""
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()
