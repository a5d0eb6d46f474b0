"""Which shards there are, and which of them nobody trades, for who asks and trades none."""

from service.storage.database import Database

_UNTRADED = "SELECT shard, expires_at <= now() FROM shard_leases ORDER BY shard"


class ShardLeases:
    """Reads the leases from PostgreSQL; raises `Unreachable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def untraded(self) -> tuple[int, list[int]]:
        """Return how many shards the database knows, and those that nobody trades."""
        async with self._database.read("lease") as connection:
            rows = await connection.fetch(_UNTRADED)
        return len(rows), [shard for shard, is_free in rows if is_free]
