"""How long what happened is kept: old rows go in small batches, by functions of the database.

The functions (migration 0006) hold a least age that no setting can shorten, so that a role that may
not delete can prune. What an event's or a deal's age is, marks tell: what is not above the last
decision of its shard when a mark was made is older than that mark. A batch locks the rows that it
removes and nothing else; these are of no use to anyone who trades.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

from service.domain.shard import ALL_ACCOUNTS, AccountShard
from service.storage.database import Database

MARK_EVERY = timedelta(hours=1)
_MARK = """
SELECT make_retention_mark()
WHERE NOT EXISTS (SELECT FROM retention_marks
    WHERE shards = $1 AND shard = $2 AND made_at > now() - $3::interval)
"""
_PRUNE = "SELECT prune($1, $2, $3, $4, $5)"


class Kept(StrEnum):
    """What is pruned: events, answers by idempotency key, deals of orders that ended, the audit."""

    EVENTS = "outbox"
    ANSWERS = "commands"
    DEALS = "deals"
    AUDIT = "audit"


KeptFor = Mapping[Kept, timedelta]


class Pruning:
    """Removes what is old of a shard; each call is one statement and raises `Unreachable`."""

    def __init__(self, database: Database, shard: AccountShard = ALL_ACCOUNTS) -> None:
        self._database = database
        self._shard = shard

    async def mark(self) -> None:
        """Remember what the last event is now, once in `MARK_EVERY`."""
        async with self._database.read("retention") as connection:
            await connection.execute(_MARK, self._shard.of, self._shard.number, MARK_EVERY)

    async def prune(self, what: Kept, keep: timedelta, most: int) -> int:
        """Remove a batch of what is older; return how many rows were looked at.

        Less than `most` are the end.

        Events that Redis is not known to have had are kept whatever their age.
        """
        arguments = (what, self._shard.of, self._shard.number, keep, most)
        async with self._database.read("retention") as connection:
            return int(await connection.fetchval(_PRUNE, *arguments))
