"""The way to PostgreSQL: pools, migrations, and errors turned into `Unreachable`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from pogo_core.util import migrate

from service.storage.errors import Unreachable, is_transient

CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 30.0
READ_TIMEOUT_S = 5.0
ACQUIRE_TIMEOUT_S = 2.0
READ_POOL_SIZE = 8
MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 7_446_921  # any number that no one else locks

# Whatever the server says against a connection, it says nothing on the work to be done on it.
_CANNOT_CONNECT = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class Database:
    """Read connections to one database; the writer and the lease keep connections of their own."""

    def __init__(self, dsn: str, *, pool_size: int = READ_POOL_SIZE) -> None:
        self.dsn = dsn
        self._pool_size = pool_size
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Open a connection of one's own.

        Raises:
            Unreachable: the server is down, or lets nobody in: password, database, too many.
        """
        try:
            return await asyncpg.connect(
                self.dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S
            )
        except _CANNOT_CONNECT as error:
            raise Unreachable(f"cannot connect to the database: {error}") from error

    @asynccontextmanager
    async def read(self) -> AsyncIterator["PoolConnectionProxy[asyncpg.Record]"]:
        """Borrow a read connection for a short while.

        Raises:
            Unreachable: the database is down, or all connections stay busy.
        """
        try:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self.dsn,
                    min_size=0,
                    max_size=self._pool_size,
                    timeout=CONNECT_TIMEOUT_S,
                    command_timeout=READ_TIMEOUT_S,
                )
            async with AsyncExitStack() as stack:
                try:
                    connection = await stack.enter_async_context(
                        self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S)
                    )
                except _CANNOT_CONNECT as error:
                    raise Unreachable(f"cannot connect to the database: {error}") from error
                yield connection
        except Exception as error:
            if is_transient(error) and not isinstance(error, Unreachable):
                raise Unreachable(f"the database did not answer: {error}") from error
            raise

    async def ping(self) -> None:
        """Ask the database for a sign of life.

        Raises:
            Unreachable: it gave none.
        """
        async with self.read() as connection:
            await connection.fetchval("SELECT 1")

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()


async def apply_migrations(dsn: str) -> None:
    """Bring the schema up to date; processes that start together take turns."""
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    try:
        await connection.execute(f"SELECT pg_advisory_lock({_MIGRATION_LOCK})")
        await migrate.apply(connection, MIGRATIONS, schema_name="public")
    finally:
        await connection.close()
