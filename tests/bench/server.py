"""A PostgreSQL for a benchmark: as durable as in production, on the disk of this checkout.

Not in the temporary directory, which is memory on some machines: fsync would cost nothing there.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from service.storage.database import apply_migrations
from service.storage.embedded import EmbeddedPostgres
from service.storage.importer import Opening, open_book
from tests.bench.brokerage import OPENED_NS

BUILD = Path("build")


@asynccontextmanager
async def bench_postgres() -> AsyncIterator[EmbeddedPostgres]:
    """Run an embedded PostgreSQL with fsync, and remove it with its data in the end."""
    BUILD.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="bench-", dir=BUILD) as folder:
        async with EmbeddedPostgres(Path(folder) / "postgres") as server:
            yield server


async def store_book(dsn: str, opening: Opening) -> None:
    """Store a book in an empty database, and tidy up after it as autovacuum would in time."""
    await apply_migrations(dsn)
    connection = await asyncpg.connect(dsn)
    try:
        await open_book(connection, opening, OPENED_NS)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
