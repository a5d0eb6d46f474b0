"""Which shards there are, and who trades them, for who asks and trades none."""

from service.storage.database import Database

_HOLDERS = "SELECT CASE WHEN expires_at > now() THEN holder END FROM shard_leases ORDER BY shard"


class ShardLeases:
    """Reads the leases from PostgreSQL; raises `Unreachable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def holders(self) -> list[str | None]:
        """Return who trades each shard that the database knows, None: nobody."""
        async with self._database.read("lease") as connection:
            return [holder for (holder,) in await connection.fetch(_HOLDERS)]
