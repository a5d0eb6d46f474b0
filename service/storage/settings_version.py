"""Which version of the settings is stored, and which shards have taken it over.

Each change of settings is a version, stored by the leader of shard 0 with the change. The leader of
any other shard stores the version with the triggers that the change moved, so a shard whose number
is lower may still have stored triggers of older settings.
"""

from service.domain.desk import Desk
from service.storage.connection import Connection
from service.storage.database import Database
from service.storage.loader import SETTINGS_VERSION, load_settings
from service.storage.settings_write import SettingsStatement
from service.storage.transactions import one_moment

SETTINGS_SHARD = 0
_SET = "UPDATE shard_leases SET settings_version = $2 WHERE shard = $1"
_OF_SHARDS = "SELECT shard, settings_version FROM shard_leases"
_OF_SHARD = "SELECT settings_version FROM shard_leases WHERE shard = $1"
_BEHIND = "SELECT shard FROM shard_leases WHERE settings_version < $1 ORDER BY shard"


def set_version(shard: int, version: int) -> SettingsStatement:
    """Return the statement that stores of which version a shard's triggers are."""
    return _SET, (shard, version)


async def version_of(connection: Connection, shard: int) -> int:
    """Return the version of a shard's triggers as stored."""
    return int(await connection.fetchval(_OF_SHARD, shard))


class SettingsVersions:
    """Reads versions and settings from PostgreSQL; all raise `Unreachable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self) -> int:
        """Return the version that all shards come to have."""
        async with self._database.read("settings") as connection:
            return int(await connection.fetchval(SETTINGS_VERSION))

    async def of_shards(self) -> dict[int, int]:
        """Return the version of each shard's triggers as stored."""
        async with self._database.read("settings") as connection:
            return {row[0]: row[1] for row in await connection.fetch(_OF_SHARDS)}

    async def behind(self, version: int) -> list[int]:
        """Return the shards that have not stored a version yet."""
        async with self._database.read("settings") as connection:
            return [row[0] for row in await connection.fetch(_BEHIND, version)]

    async def load(self) -> Desk:
        """Return a desk that has the newest settings, and nothing else."""
        desk = Desk()
        async with self._database.read("settings") as connection, one_moment(connection):
            await load_settings(connection, desk)
        return desk
