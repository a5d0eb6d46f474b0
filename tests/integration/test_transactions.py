"""A transaction that fails, or is cancelled, takes its connection with it, and waits for nobody."""

import asyncio

import asyncpg
import pytest

from service.instruments import Instruments
from service.storage.database import Database, apply_migrations
from service.storage.transactions import one_moment, whole
from tests.adversity.book import fetch
from tests.faultproxy import FaultProxy, Moment
from tests.proxied import through

COUNT = "SELECT count(*) FROM engines"
INSERT = "INSERT INTO engines VALUES ('one', now())"


@pytest.fixture
async def dsn(postgres_dsn: str) -> str:
    await apply_migrations(postgres_dsn)
    return postgres_dsn


async def test_what_is_inside_is_done_whole_or_not_at_all(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)

    async def insert(times: int) -> None:
        async with whole(connection):
            await connection.execute("DELETE FROM engines")
            for _ in range(times):
                await connection.execute(INSERT)

    await insert(1)
    assert await fetch(dsn, COUNT) == [(1,)]
    with pytest.raises(asyncpg.UniqueViolationError):
        await insert(2)
    assert connection.is_closed()
    assert await fetch(dsn, COUNT) == [(1,)]


async def test_a_moment_stays_the_same_and_writes_nothing(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    async with one_moment(connection):
        assert await connection.fetchval(COUNT) == 0
        other = await asyncpg.connect(dsn)
        await other.execute(INSERT)
        await other.close()
        assert await connection.fetchval(COUNT) == 0
    assert await connection.fetchval(COUNT) == 1
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with one_moment(connection):
            await connection.execute("DELETE FROM engines")


async def test_a_pool_goes_on_without_the_connection_that_stands_still(
    dsn: str, postgres_proxy: FaultProxy
) -> None:
    database = Database(through(postgres_proxy, dsn), Instruments(), 1)
    trap = postgres_proxy.arm(b"FROM engines", Moment.BEFORE_FORWARD)

    async def count() -> int:
        async with database.read("lease") as connection, one_moment(connection):
            return int(await connection.fetchval(COUNT))

    counting = asyncio.create_task(count())
    await trap.sprung()
    counting.cancel()
    await asyncio.wait((counting,))
    assert counting.cancelled()
    assert await count() == 0, "on another connection, as the first is still held"
    await database.close()
