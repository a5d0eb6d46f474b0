"""Faults of PostgreSQL and of Redis, each entered to harm and left to heal."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import asyncpg

from service.api.auth import Role
from service.storage.database import READ_POOL_SIZE
from tests.drills.universe import Universe

# What an administrator's or a migration's lock does to who reads a table, at most.
LONG_LOCK_S = 1.5
BETWEEN_LOCKS_S = 0.02
SLOW_ROW_S = 0.1
SLOW_READERS = READ_POOL_SIZE + 6
FLUSH_S = 0.5
READER_ACCOUNT, BETWEEN_READS_S = 35, 0.5
REFUSED_ACCOUNT = 35
BALLAST = "x" * 50_000


@asynccontextmanager
async def meanwhile(*doing: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Do something over and over; what goes wrong in it is raised in the end."""

    async def repeat(do: Callable[[], Awaitable[object]]) -> None:
        while True:
            await do()

    tasks = [asyncio.create_task(repeat(do)) for do in doing]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


# PostgreSQL


@asynccontextmanager
async def database_cut(on: Universe) -> AsyncIterator[None]:
    await on.database.cut()
    try:
        yield
    finally:
        await on.database.restore()


@asynccontextmanager
async def locking(on: Universe, table: str, held_s: float) -> AsyncIterator[None]:
    """Hold a table's lock again and again, as whoever changes it while others read does."""
    connection = await asyncpg.connect(on.postgres.dsn)

    async def lock() -> None:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            await asyncio.sleep(held_s)
        await asyncio.sleep(BETWEEN_LOCKS_S)

    try:
        async with meanwhile(lock):
            yield
    finally:
        await connection.close()


@asynccontextmanager
async def table_locked(on: Universe) -> AsyncIterator[None]:
    async with locking(on, "quotes", LONG_LOCK_S):
        yield


@asynccontextmanager
async def _seen_through(on: Universe, table: str, condition: str) -> AsyncIterator[None]:
    """Put every row of a table that is read to a condition; it is written to as ever."""
    await on.execute(  # both at once, since every commit names the table
        f"ALTER TABLE {table} RENAME TO {table}_itself; "
        f"CREATE VIEW {table} AS SELECT * FROM {table}_itself WHERE {condition}"
    )
    try:
        yield
    finally:
        await on.execute(f"DROP VIEW {table}; ALTER TABLE {table}_itself RENAME TO {table}")


@asynccontextmanager
async def pool_emptied(on: Universe) -> AsyncIterator[None]:
    """Have more readers of what has become slow than there are connections."""

    async def read() -> None:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            await on.traders.call(1, "GET", "/admin/audit?limit=1", role=Role.ADMIN)

    await on.execute(
        "INSERT INTO audit (time, actor, action, target, reason) "
        "VALUES (1, 'drill', 'deposit', '1', 'so that there is a row')"
    )
    slowly = f"pg_sleep({SLOW_ROW_S}) IS NOT NULL"
    async with _seen_through(on, "audit", slowly), meanwhile(*[read] * SLOW_READERS):
        yield


@asynccontextmanager
async def ledger_unreadable(on: Universe) -> AsyncIterator[None]:
    """Have a table that fails whoever reads it, as one account does."""

    async def read() -> None:
        await on.traders.call(READER_ACCOUNT, "GET", "/account/ledger")
        await asyncio.sleep(BETWEEN_READS_S)

    async with _seen_through(on, "ledger", "1 / (time - time) = 0"), meanwhile(read):
        yield


@asynccontextmanager
async def deals_refused(on: Universe) -> AsyncIterator[None]:
    """Let PostgreSQL refuse every deal of an account, which then trades."""
    await on.execute(
        "CREATE FUNCTION refuse_deal() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'this account may not deal'; END $$"
    )
    await on.execute(
        "CREATE TRIGGER refuse_deal BEFORE INSERT ON deals FOR EACH ROW "
        f"WHEN (NEW.account_id = {REFUSED_ACCOUNT}) EXECUTE FUNCTION refuse_deal()"
    )
    assert await on.traders.place(REFUSED_ACCOUNT, "EURUSD", "BUY", "0.01") is None
    try:
        yield
    finally:
        await on.execute("DROP TRIGGER refuse_deal ON deals")


@asynccontextmanager
async def table_gone(on: Universe) -> AsyncIterator[None]:
    """Take away the table that one loop alone writes to: the last quotes."""
    await on.execute("ALTER TABLE quotes RENAME TO quotes_away")
    try:
        yield
    finally:
        await on.execute("ALTER TABLE quotes_away RENAME TO quotes")


@asynccontextmanager
async def table_gone_for_a_minute(on: Universe) -> AsyncIterator[None]:
    """Take it away for five failures in a row, one fewer than fires TapewatchLoopFailing."""
    async with table_gone(on):
        failures = 'tapewatch_loop_consecutive_errors{loop="save_quotes"}'
        while (await on.measured(failures) or 0) < 5:  # noqa: ASYNC110 - polls another process
            await asyncio.sleep(0.5)
    yield


# Redis


@asynccontextmanager
async def redis_cut(on: Universe) -> AsyncIterator[None]:
    await on.redis.cut()
    try:
        yield
    finally:
        await on.redis.restore()


@asynccontextmanager
async def publishing_forbidden(on: Universe) -> AsyncIterator[None]:
    """Take from the service's user the right to publish, and no other."""
    async with on.valkey_client() as client:
        await client.execute_command("ACL", "SETUSER", "default", "-spublish")  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            await client.execute_command("ACL", "SETUSER", "default", "+spublish")  # type: ignore[no-untyped-call]


@asynccontextmanager
async def cache_flushed(on: Universe) -> AsyncIterator[None]:
    """Flush it again and again."""
    async with on.valkey_client() as client:

        async def flush() -> None:
            await client.flushall()
            await asyncio.sleep(FLUSH_S)

        async with meanwhile(flush):
            yield


@asynccontextmanager
async def cache_tampered_with(on: Universe) -> AsyncIterator[None]:
    """Write another balance into an idle account's entry."""
    async with on.valkey_client() as client:
        await on.traders.call(35, "GET", "/account")  # which fills it
        assert await client.exists("{acct:35}:orders")
        await client.hset("{acct:35}:orders", "balance", "1.00")
    yield


@asynccontextmanager
async def memory_limited(on: Universe) -> AsyncIterator[None]:
    """Fill Redis a little and lower its limit to just above that."""
    async with on.valkey_client() as client:
        before = str((await client.config_get("maxmemory"))["maxmemory"])
        await client.hset("ballast", mapping={str(each): BALLAST for each in range(400)})
        await asyncio.sleep(1.0)  # until the buffers of that are given back
        used = (await client.info("memory"))["used_memory"]
        await client.config_set("maxmemory", round(used / 0.95))
        try:
            yield
        finally:
            await client.config_set("maxmemory", before)
            await client.delete("ballast")
