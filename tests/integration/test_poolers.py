"""A pooler before PostgreSQL is refused at the start, with the reason; a mere proxy is none.

The pooler here is one in what it is told by: it hands out numbers of sessions that are its own.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from service.servers import open_servers
from service.settings import load_settings
from service.storage.database import apply_migrations
from service.storage.errors import Pooled
from tests.faultproxy import LOOPBACK
from tests.proxied import in_front_of, through

SESSION = b"K\x00\x00\x00\x0c"  # and a process id of four bytes, and a key


@asynccontextmanager
async def pooler(dsn: str) -> AsyncIterator[str]:
    """Yield the DSN of a database behind a pooler."""
    parts = urlsplit(dsn)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65_536):
                head, found, rest = chunk.partition(SESSION)
                writer.write(head + found + b"\x7f\x00\x00\x01" + rest[4:] if found else chunk)
                await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = await asyncio.open_connection(parts.hostname, parts.port)
        await asyncio.gather(carry(reader, server[1]), carry(server[0], writer))

    listening = await asyncio.start_server(accept, LOOPBACK, 0)
    port = listening.sockets[0].getsockname()[1]
    yield dsn.replace(f":{parts.port}/", f":{port}/")
    listening.close()
    await listening.wait_closed()


async def start(dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TAPEWATCH_DATABASE_URL", dsn)
    monkeypatch.setenv("TAPEWATCH_REDIS_URL", "redis://nobody.asks/0")
    async with open_servers(load_settings(), tmp_path):
        pass


async def test_a_pooler_is_refused(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with pooler(postgres_dsn) as pooled:
        with pytest.raises(Pooled, match="name PostgreSQL's own address"):
            await start(pooled, monkeypatch, tmp_path)
        with pytest.raises(Pooled):
            await apply_migrations(pooled)


async def test_a_proxy_is_none(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with in_front_of(postgres_dsn) as proxy:
        await start(through(proxy, postgres_dsn), monkeypatch, tmp_path)
