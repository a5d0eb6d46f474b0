"""What tests of every kind need: ports and databases of their own."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from service.storage import exec_server
from service.storage.embedded import EmbeddedPostgres
from service.storage.free_ports import free_port

__all__ = ["eventually", "free_port", "fresh_database"]

POLL_S = 0.02
CONNECT_TIMEOUT_S = 30.0
PATIENCE_S = 120.0  # of who waits for what is sure to come, on a machine with much to do


@asynccontextmanager
async def fresh_database(server: EmbeddedPostgres, like: str | None = None) -> AsyncIterator[str]:
    """Make an empty database, yield its DSN, and drop it with whoever is still connected.

    `like` is the DSN of a database to copy instead, which nobody is connected to.
    """
    name = f"test_{secrets.token_hex(6)}"
    template = "template1" if like is None else like.rpartition("/")[2]
    await _execute(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield server.dsn_of(name)
    finally:
        await _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(server: EmbeddedPostgres, statement: str) -> None:
    connection = await asyncpg.connect(server.dsn_of("postgres"), timeout=CONNECT_TIMEOUT_S)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def ending_with_us(folder: Path, command: Sequence[str]) -> list[str]:
    """Return what runs a command in a folder, and is killed where this process ends, however.

    The command's program is a path; whoever starts it does so in the main thread.
    """
    numbers = (os.getpid(), -1, -1, int(signal.SIGKILL))
    head = [sys.executable, "-I", "-S", str(exec_server.__file__), *map(str, numbers)]
    return [*head, str(folder), *command]


async def end_postgres(server: EmbeddedPostgres, how: signal.Signals) -> None:
    """End a server by a signal: SIGQUIT is how it crashes. It may be started again then."""
    os.kill(server.process.pid, how)
    await eventually(lambda: not server.process.running)
    await server.stop()


async def eventually(condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    """Wait until `condition` holds. Raises TimeoutError: how long it took is never judged."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - conditions on other processes have no event
            await asyncio.sleep(POLL_S)
