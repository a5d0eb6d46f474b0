"""PostgreSQL, Redis and the log as an ordinary service uses them, and how often each is used.

Counted are sessions, statements (without BEGIN, COMMIT and savepoints), round trips to Redis (a
pipeline is one) and log lines.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
from redis.asyncio import Connection, ConnectionPool, Redis

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy
    from asyncpg.transaction import Transaction

POOL_SIZE = 20
MAX_REDIS_CONNECTIONS = 4_096  # of 1,000 sockets, each with its subscription
LOG_FILE_BYTES = 10_000_000
LOG_FILES = 5
LOG_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
_SCHEMA = """
CREATE SEQUENCE IF NOT EXISTS before_actions;
CREATE INDEX IF NOT EXISTS before_positions ON orders (symbol) WHERE status = 'OPEN';
"""


@dataclass(slots=True)
class Counts:
    """How often the stores were used."""

    sessions: int = 0
    statements: int = 0
    round_trips: int = 0
    log_lines: int = 0

    def since(self, before: "Counts") -> "Counts":
        """Return what was counted after `before`."""
        return Counts(
            self.sessions - before.sessions,
            self.statements - before.statements,
            self.round_trips - before.round_trips,
            self.log_lines - before.log_lines,
        )

    def copy(self) -> "Counts":
        return self.since(Counts())


class Session:
    """A pooled connection with a transaction that begins by itself, as an ORM's session has."""

    def __init__(self, connection: "PoolConnectionProxy[asyncpg.Record]", counts: Counts) -> None:
        self._connection = connection
        self._counts = counts
        self._transaction: Transaction | None = None

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        await self._count()
        return await self._connection.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: object) -> asyncpg.Record | None:
        await self._count()
        return await self._connection.fetchrow(query, *arguments)

    async def execute(self, query: str, *arguments: object) -> str:
        await self._count()
        return await self._connection.execute(query, *arguments)

    async def _count(self) -> None:
        self._counts.statements += 1
        await self._begin()

    async def _begin(self) -> None:
        if self._transaction is None:
            self._transaction = self._connection.transaction()
            await self._transaction.start()

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Undo what is done inside if it raises, and nothing else."""
        await self._begin()
        async with self._connection.transaction():
            yield

    async def commit(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            await transaction.commit()

    async def rollback(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            await transaction.rollback()


class Stores:
    """What the loops share."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        redis: Redis,
        log: logging.Logger,
        counts: Counts,
    ) -> None:
        self._pool = pool
        self.redis = redis
        self.log = log
        self.counts = counts

    @staticmethod
    @asynccontextmanager
    async def on(dsn: str, redis_url: str, log_file: Path, level: int) -> "AsyncIterator[Stores]":
        """Open everything; lines from `level` on are written to a file, at once, as they come."""
        counts = Counts()
        log = logging.Logger("orders", level)
        handler = _CountingHandler(log_file, counts)
        handler.setFormatter(logging.Formatter(LOG_FORMAT))
        log.addHandler(handler)
        connections = ConnectionPool.from_url(
            redis_url,
            connection_class=_CountingConnection,
            counts=counts,
            max_connections=MAX_REDIS_CONNECTIONS,
            # None, as it had: 1,000 sockets that all connect at once take their time.
            socket_timeout=None,
            socket_connect_timeout=None,
            decode_responses=True,
        )
        redis = Redis(connection_pool=connections)
        try:
            async with asyncpg.create_pool(dsn, min_size=1, max_size=POOL_SIZE) as pool:
                await pool.execute(_SCHEMA)
                yield Stores(pool, redis, log, counts)
        finally:
            await redis.aclose()
            await connections.disconnect()
            handler.close()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Borrow a session; what it did not commit is rolled back."""
        self.counts.sessions += 1
        async with self._pool.acquire() as connection:
            session = Session(connection, self.counts)
            try:
                yield session
            finally:
                await session.rollback()


class _CountingConnection(Connection):
    """Counts what it sends: a command, or a whole pipeline."""

    def __init__(self, *, counts: Counts, **options: Any) -> None:
        super().__init__(**options)
        self._counts = counts

    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        self._counts.round_trips += 1
        await super().send_packed_command(*arguments, **options)


class _CountingHandler(RotatingFileHandler):
    def __init__(self, path: Path, counts: Counts) -> None:
        super().__init__(path, maxBytes=LOG_FILE_BYTES, backupCount=LOG_FILES, encoding="utf-8")
        self._counts = counts

    def emit(self, record: logging.LogRecord) -> None:
        self._counts.log_lines += 1
        super().emit(record)
