"""PostgreSQL and Redis as the settings say: the ones named by a DSN, or embedded ones.

An embedded server that dies is started again on its data and port; one that is named is not ours.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from loguru import logger

from service.settings import Settings
from service.storage.database import connect, require_own_session
from service.storage.embedded import EmbeddedPostgres, EmbeddedServer, EmbeddedValkey
from service.storage.errors import Unreachable
from service.storage.server_errors import EmbeddedError

LOOK_AFTER_INTERVAL_S = 1.0
_Server = TypeVar("_Server", bound=EmbeddedServer)


class NoDatabase(Exception):
    """The database that was named does not let us in; the message says what to do."""


class Servers(NamedTuple):
    """Addresses; they contain passwords."""

    database_dsn: str
    redis_url: str

    def __repr__(self) -> str:
        return "Servers(…)"


@asynccontextmanager
async def open_servers(
    settings: Settings,
    folder: Path,
    *,
    database_port: int | None = None,
    redis_port: int | None = None,
) -> AsyncIterator[Servers]:
    """Start what the settings name no DSN for, with its data in `folder`, and stop it in the end.

    Raises:
        EmbeddedError: a server cannot start; the message says what to do.
        NoDatabase: the named PostgreSQL cannot be reached.
        Pooled: a pooler stands before it.
    """
    async with AsyncExitStack() as stack:
        if settings.database_url is not None:
            database_dsn = settings.database_url.get_secret_value()
            await _reach(database_dsn)
        else:
            postgres = EmbeddedPostgres(folder / "postgres", database_port)
            database_dsn = (await stack.enter_async_context(_kept(postgres))).dsn
        if settings.redis_url is not None:
            redis_url = settings.redis_url.get_secret_value()
        else:
            valkey = EmbeddedValkey(folder / "valkey", redis_port)
            redis_url = (await stack.enter_async_context(_kept(valkey))).url
        yield Servers(database_dsn, redis_url)


@asynccontextmanager
async def _kept(server: _Server) -> AsyncIterator[_Server]:
    """Run a server, and start it again whenever it dies."""
    async with server:
        looking = asyncio.create_task(_look_after(server))
        try:
            yield server
        finally:
            looking.cancel()
            await asyncio.wait((looking,))


async def _look_after(server: EmbeddedServer) -> None:
    while True:
        await asyncio.sleep(LOOK_AFTER_INTERVAL_S)
        if server.process.running:
            continue
        logger.error("{} has died: starting it again", server.name)
        try:
            await server.stop()
            await server.start()
        except EmbeddedError as error:
            logger.error("{} does not start, trying on: {}", server.name, error)


async def _reach(database_dsn: str) -> None:
    try:
        connection = await connect(database_dsn)
    except Unreachable as error:
        raise NoDatabase(f"{error}: check TAPEWATCH_DATABASE_URL and its server") from None
    try:
        await require_own_session(connection)
    finally:
        await connection.close()
