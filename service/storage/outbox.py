"""The outbox as it is relayed: events in the order of their commits, and how far Redis has them."""

from typing import NamedTuple

from service.storage.database import Database
from telemetry.span_ids import SpanIds, parse_traceparent

SHARD = 0
PAGE_AFTER = """
SELECT event_id, payload, traceparent FROM outbox WHERE event_id > $1 ORDER BY event_id LIMIT $2
"""
PUBLISHED_UNTIL = "SELECT published_until FROM event_relay WHERE shard = $1"
# A former owner of the shard that is late takes nothing back.
MARK_PUBLISHED = """
UPDATE event_relay SET published_until = $2 WHERE shard = $1 AND published_until < $2
"""


class Event(NamedTuple):
    """A committed event, JSON of `EventView`. Ids grow in the order of the commits.

    `span` is the one to go on with, if it is exported: that of its commit, or, of what was read
    from the database, that of what caused it.
    """

    event_id: int
    payload: str
    span: SpanIds | None = None


class Outbox:
    """One shard's committed events; each call is one statement and raises `Unreachable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page_after(self, event_id: int, limit: int) -> list[Event]:
        """Return the first events above an id, in order."""
        async with self._database.read("relay") as connection:
            rows = await connection.fetch(PAGE_AFTER, event_id, limit)
        return [
            Event(event_id, payload, None if trace is None else parse_traceparent(trace))
            for event_id, payload, trace in rows
        ]

    async def published_until(self) -> int:
        """Return the event up to which Redis is known to have had all."""
        async with self._database.read("relay") as connection:
            return int(await connection.fetchval(PUBLISHED_UNTIL, SHARD))

    async def mark_published(self, event_id: int) -> None:
        """Note that Redis has had everything up to an event."""
        async with self._database.read("relay") as connection:
            await connection.execute(MARK_PUBLISHED, SHARD, event_id)
