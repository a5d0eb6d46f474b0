"""The way to PostgreSQL: pools, migrations, and errors turned into `Unreachable`."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from loguru import logger
from pogo_core.util import migrate

from service.instruments import Instruments
from service.storage.errors import Pooled, SchemaBehind, Unreachable, failure_of, is_transient
from service.storage.statements import TracedConnection
from telemetry.limits import Limit
from telemetry.spans import AnySpan, Tracing

CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 30.0
READ_TIMEOUT_S = 5.0
ACQUIRE_TIMEOUT_S = 2.0
PING_TIMEOUT_S = 2.0
# A read takes about a millisecond of the database, which has no use for more at once than it has
# cores and disks; who finds none free waits, for `ACQUIRE_TIMEOUT_S` at most. The driver prepares
# each statement once on a connection.
READ_POOL_SIZE = 8
MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 7_446_921  # any number that no one else locks
_OWNS_SCHEMA = """
SELECT has_schema_privilege('public', 'CREATE') AND NOT EXISTS (
    SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
        AND NOT pg_has_role(relowner, 'USAGE'))
"""

# Whatever the server says against a connection, it says nothing on the work to be done on it.
_CANNOT_CONNECT = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class Database:
    """Read connections to one database; the writer and the lease keep connections of their own."""

    def __init__(
        self, dsn: str, instruments: Instruments, connections: int = READ_POOL_SIZE
    ) -> None:
        self.dsn = dsn
        self._connections = connections
        self._instruments = instruments
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._pinging = asyncio.Lock()
        self._pinged: asyncpg.Connection[asyncpg.Record] | None = None
        instruments.database_pool.watch(self._used, self._idle, connections)

    @property
    def tracing(self) -> Tracing:
        """What makes the spans of who has connections of his own."""
        return self._instruments.tracing

    async def connect(
        self, command_timeout_s: float = COMMAND_TIMEOUT_S
    ) -> "asyncpg.Connection[asyncpg.Record]":
        """Open a connection of one's own; errors as of `connect`."""
        async with self.measured("connect"):
            return await connect(self.dsn, command_timeout_s)

    @asynccontextmanager
    async def read(self, operation: str) -> AsyncIterator["PoolConnectionProxy[asyncpg.Record]"]:
        """Borrow a read connection for a short while; `operation` names it in the metrics.

        Raises:
            Unreachable: the database is down, or all connections stay busy.
        """
        started = time.perf_counter()
        taken = None
        try:
            async with self.measured(operation) as span, AsyncExitStack() as stack:
                try:
                    with self._instruments.database_pool.waiting():
                        connection = await stack.enter_async_context(
                            (await self._opened_pool()).acquire(timeout=ACQUIRE_TIMEOUT_S)
                        )
                except _CANNOT_CONNECT as error:
                    raise Unreachable(f"cannot connect to the database: {error}") from error
                taken = time.perf_counter()
                span.note("waited_for_connection_s", round(taken - started, 6))
                yield connection
        finally:
            if taken is not None:
                self._instruments.database_pool.used(time.perf_counter() - taken)

    @asynccontextmanager
    async def measured(
        self, operation: str, limit: Limit | None = Limit.QUERY
    ) -> AsyncIterator[AnySpan]:
        """Measure what is asked of the database inside, as a call of that name and a span.

        Raises:
            Unreachable: instead of what else says that the database, not the data, is at fault.
        """
        started = time.perf_counter()
        failure: str | None = "cancelled"
        span = self._instruments.tracing.span(f"database {operation}", limit=limit)
        try:
            with span:
                yield span
            failure = None
        except Exception as error:
            failure = failure_of(error)
            if is_transient(error) and not isinstance(error, Unreachable):
                raise Unreachable(f"the database did not answer: {error}") from error
            raise
        finally:
            seconds = time.perf_counter() - started
            self._instruments.database_call(operation, seconds, failure=failure, trace=span.trace)

    @contextmanager
    def failing(self, operation: str) -> Iterator[None]:
        """Count what is asked inside if it fails; whoever asks counts and traces the rest."""
        started = time.perf_counter()
        try:
            yield
        except BaseException as error:
            failure = failure_of(error) if isinstance(error, Exception) else "cancelled"
            seconds = time.perf_counter() - started
            self._instruments.database_call(operation, seconds, failure=failure)
            raise

    async def _opened_pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        if self._pool is None:
            pool = await asyncpg.create_pool(
                self.dsn,
                min_size=0,
                max_size=self._connections,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=READ_TIMEOUT_S,
                connection_class=TracedConnection,
            )
            if self._pool is None:  # another reader may have been here meanwhile
                self._pool = pool
        return self._pool

    def _idle(self) -> int:
        return 0 if self._pool is None else self._pool.get_idle_size()

    def _used(self) -> int:
        return 0 if self._pool is None else self._pool.get_size() - self._pool.get_idle_size()

    async def ping(self) -> None:
        """Ask the database for a sign of life.

        On a connection of its own: a busy pool is no dead server.

        Raises:
            Unreachable: it gave none within `PING_TIMEOUT_S`.
        """
        async with self._pinging, self.measured("ping"), asyncio.timeout(PING_TIMEOUT_S):
            if self._pinged is None:
                self._pinged = await self.connect()
            try:
                await self._pinged.fetchval("SELECT 1")
            except BaseException:
                self._stop_pinging()
                raise

    def _stop_pinging(self) -> None:
        if self._pinged is not None:
            self._pinged.terminate()
            self._pinged = None

    async def close(self) -> None:
        self._stop_pinging()
        if self._pool is not None:
            self._pool.terminate()


async def connect(
    dsn: str, command_timeout_s: float | None = COMMAND_TIMEOUT_S
) -> "asyncpg.Connection[asyncpg.Record]":
    """Connect to a database.

    Raises:
        Unreachable: the server is down, or lets nobody in: password, database, too many.
    """
    try:
        return await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=command_timeout_s,
            connection_class=TracedConnection,
        )
    except _CANNOT_CONNECT as error:
        raise Unreachable(f"cannot connect to the database: {error}") from error


async def apply_migrations(dsn: str) -> None:
    """Bring the schema up to date; processes that start together take turns.

    Where nothing is missing it takes no rights but to read.

    Raises:
        SchemaBehind: something is missing, and this role does not own the schema.
        Unreachable: the database is away, or went away; a migration is done whole or not at all.
    """
    connection = await connect(dsn, command_timeout_s=None)
    try:
        missing = await _missing_migrations(connection)
        if not missing:
            return
        if not await connection.fetchval(_OWNS_SCHEMA):
            raise SchemaBehind(
                f"the schema lacks {', '.join(missing)}, and this role does not own it: run "
                "`tapewatch migrate --grant ROLE` as its owner, ROLE being the one that serves"
            )
        await require_own_session(connection)
        await connection.execute(f"SELECT pg_advisory_lock({_MIGRATION_LOCK})")
        logger.info("bringing the schema up to date: it lacks {}", ", ".join(missing))
        # It would warn of each migration, and there is nothing to be warned of.
        silent = logging.Logger("migrations", logging.ERROR)
        await migrate.apply(connection, MIGRATIONS, schema_name="public", logger=silent)
    except Exception as error:
        if is_transient(error):
            connection.terminate()
            raise Unreachable(f"the database did not answer: {error}") from error
        raise
    finally:
        await connection.close()


async def require_own_session(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Make sure that PostgreSQL itself is at the other end.

    A pooler that lends a session for a transaction, as PgBouncer does, takes prepared statements
    and the migrations' lock from under us, and it is not to be told from one that lends it for
    longer.

    Raises:
        Pooled: the session that answers is not the one that was connected to.
    """
    try:
        async with connection.transaction():
            answering = await connection.fetchval("SELECT pg_backend_pid()")
    except (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError):
        answering = None
    if answering != connection.get_server_pid():
        raise Pooled(
            "a pooler (PgBouncer?) answers in place of PostgreSQL: name PostgreSQL's own address. "
            "The service keeps a few connections open and prepares its statements on them, so "
            "that a pooler has nothing to save"
        )


async def _missing_migrations(connection: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    try:
        rows = await connection.fetch("SELECT migration_id FROM public._pogo_migration")
    except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError):
        rows = []
    return sorted({path.stem for path in MIGRATIONS.glob("*.sql")} - {row[0] for row in rows})
