"""A change of settings as the writer stores it: in its place among the decisions, fenced like them.

It is one transaction that moves the lease's chain of batches on, so that it applies once, however
often it is sent.
"""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.domain.order import Order
from service.storage.lease import END_WHEN_IDLE, Lease
from service.storage.transactions import whole

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

SettingsStatement = tuple[str, tuple[object, ...]]

SET_TRIGGERS = """
UPDATE orders o SET trigger_price = n.trigger_price, stop_loss_trigger = n.stop_loss_trigger,
    take_profit_trigger = n.take_profit_trigger
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
    AS n (order_id, status, trigger_price, stop_loss_trigger, take_profit_trigger)
WHERE o.order_id = n.order_id AND o.status = n.status
    AND (o.trigger_price, o.stop_loss_trigger, o.take_profit_trigger)
        IS DISTINCT FROM (n.trigger_price, n.stop_loss_trigger, n.take_profit_trigger)
"""
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
        async with whole(connection):
            await connection.execute(END_WHEN_IDLE)
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


def set_triggers(orders: Sequence[Order]) -> SettingsStatement:
    """Return the statement that stores the normalised triggers of live orders."""
    return SET_TRIGGERS, (
        [order.order_id for order in orders],
        [order.status for order in orders],
        [order.trigger for order in orders],
        [order.stop_loss_trigger for order in orders],
        [order.take_profit_trigger for order in orders],
    )
