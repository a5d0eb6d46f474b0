"""The outbox as it is relayed: events in the order of their commits, and how far Redis has them."""

from typing import NamedTuple

from service.domain.shard import ALL_ACCOUNTS, AccountShard
from service.storage.database import Database
from telemetry.span_ids import SpanIds, parse_traceparent

PAGE_AFTER = """
SELECT event_id, payload, traceparent FROM outbox
WHERE event_id > $1 AND account_id % $3 = $4 ORDER BY event_id LIMIT $2
"""
PUBLISHED_UNTIL = "SELECT published_until FROM event_relay WHERE shard = $1"
# A former owner of the shard that is late takes nothing back, nor says what it published before the
# database was restored from a backup anything of the events that get these ids again.
MARK_PUBLISHED = """
UPDATE event_relay SET published_until = $2
WHERE shard = $1 AND published_until < $2
    AND $2 <= (SELECT last_decision FROM shard_leases WHERE shard = $1)
"""


class Event(NamedTuple):
    """A committed event, JSON of `EventView`. A shard's ids grow in the order of its commits.

    `span` is the one to go on with, if it is exported: that of its commit, or, of what was read
    from the database, that of what caused it.
    """

    event_id: int
    payload: str
    span: SpanIds | None = None


class Outbox:
    """One shard's committed events; each call is one statement and raises `Unreachable`."""

    def __init__(self, database: Database, shard: AccountShard = ALL_ACCOUNTS) -> None:
        self._database = database
        self._shard = shard

    async def page_after(self, event_id: int, limit: int) -> list[Event]:
        """Return the first events above an id, in order."""
        async with self._database.read("relay") as connection:
            rows = await connection.fetch(
                PAGE_AFTER, event_id, limit, self._shard.of, self._shard.number
            )
        return [
            Event(event_id, payload, None if trace is None else parse_traceparent(trace))
            for event_id, payload, trace in rows
        ]

    async def published_until(self) -> int:
        """Return the event up to which Redis is known to have had all."""
        async with self._database.read("relay") as connection:
            return int(await connection.fetchval(PUBLISHED_UNTIL, self._shard.number))

    async def mark_published(self, event_id: int) -> None:
        """Note that Redis has had everything up to an event, which was decided in this shard."""
        async with self._database.read("relay") as connection:
            await connection.execute(MARK_PUBLISHED, self._shard.number, event_id)
