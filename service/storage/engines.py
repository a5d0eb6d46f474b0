"""Which processes share the shards, and who has which: by the database's clock."""

from collections.abc import Mapping
from typing import NamedTuple

from service.storage.database import Database
from service.storage.shards import divide

# Beats come ten times in the life of a lease, and at least twice a second. Who has died is known
# before his leases are free, so that his share is another's by then.
ALIVE_SHARE = 0.5
FORGOTTEN_S = 3600
_BEAT = """
WITH forgotten AS (
    DELETE FROM engines WHERE holder IN (
        SELECT holder FROM engines WHERE seen_at < now() - make_interval(secs => $2)
        FOR UPDATE SKIP LOCKED)
)
INSERT INTO engines (holder, seen_at) VALUES ($1, now())
ON CONFLICT (holder) DO UPDATE SET seen_at = excluded.seen_at
"""
_ALIVE = "SELECT holder FROM engines WHERE seen_at > now() - make_interval(secs => $1)"
_SHARDS = "SELECT shard, CASE WHEN expires_at >= now() THEN holder END FROM shard_leases"
_LEAVE = "DELETE FROM engines WHERE holder = $1"


class Sharing(NamedTuple):
    """Who has which shards.

    Attributes:
        held: the shards of each process that is alive, and of this one; none maybe.
        free: those that nobody has; what another has who is not alive, is neither.
    """

    held: Mapping[str, frozenset[int]]
    free: frozenset[int]


class Engines:
    """The processes that share the shards, this one among them while it beats and is fit."""

    def __init__(self, database: Database, holder: str, shards: int, lease_life_s: float) -> None:
        self._database = database
        self._shards = shards
        self._alive_s = ALIVE_SHARE * lease_life_s
        self.holder = holder

    async def beat(self, *, is_fit: bool = True) -> Sharing | int:
        """Say that this process is alive, or not fit to trade; return who has what.

        Or into how many shards the accounts are divided, where others trade another number.

        Raises:
            Unreachable: the database is away.
        """
        async with self._database.read("lease") as connection:
            of = await divide(connection, self._shards)
            if of != self._shards:
                return of
            if is_fit:
                await connection.execute(_BEAT, self.holder, FORGOTTEN_S)
            else:
                await connection.execute(_LEAVE, self.holder)
            alive = {row[0] for row in await connection.fetch(_ALIVE, self._alive_s)}
            leases = [tuple(row) for row in await connection.fetch(_SHARDS)]
        held: dict[str, set[int]] = {holder: set() for holder in (*alive, self.holder)}
        for shard, holder in leases:
            if holder in held:
                held[holder].add(shard)
        return Sharing(
            {holder: frozenset(shards) for holder, shards in held.items()},
            frozenset(shard for shard, holder in leases if holder is None),
        )

    async def leave(self) -> None:
        """Leave all shards to the others, who may have them at once.

        Raises:
            Unreachable: the database is away.
        """
        async with self._database.read("lease") as connection:
            await connection.execute(_LEAVE, self.holder)
