"""A database that cannot work for a while is waited for, whatever it says meanwhile."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from service.loops.answers import Unavailable
from service.storage.errors import is_transient
from telemetry import catalogue
from tests.adversity.book import check_book, execute
from tests.adversity.shard import Shard
from tests.integration.crowd import crowded, fire
from tests.support import eventually


@pytest.fixture
async def shard(postgres_dsn: str) -> AsyncIterator[Shard]:
    async with crowded(postgres_dsn) as shard:
        yield shard


@pytest.mark.parametrize("code", ["53100", "53200", "57014", "40P01", "58030", "55P03"])
async def test_a_server_in_trouble_is_waited_for(code: str, shard: Shard) -> None:
    """Disk full, out of memory, cancelled, deadlock, I/O error, no lock: not the data's fault."""
    dsn = shard.database.dsn
    await execute(
        dsn,
        "CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION 'planted' USING ERRCODE = '{code}'; END $$",
        "CREATE TRIGGER trouble BEFORE INSERT ON deals EXECUTE FUNCTION trouble()",
    )
    fire(shard)
    await eventually(lambda: not shard.trading.is_writing)
    with pytest.raises(Unavailable):
        await shard.fund(1, "1.00")
    assert shard.trading.backlog == 300
    await execute(dsn, "DROP TRIGGER trouble ON deals")
    await shard.drained()
    assert shard.decisions("failed") == 0
    assert shard.decisions("committed") == 300
    assert shard.trading.is_writing
    await check_book(dsn, shard)


async def test_a_statement_time_out_is_waited_out(shard: Shard) -> None:
    dsn = shard.database.dsn
    holder = await asyncpg.connect(dsn)
    async with holder.transaction():
        await holder.execute("SELECT FROM accounts WHERE account_id = 10 FOR UPDATE")
        # For the connections to come: the writer's present one is ended.
        await execute(
            dsn,
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET statement_timeout = ''200ms''', "
            "current_database()); END $$",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
            "datname = current_database() AND state = 'idle'",
        )
        fire(shard)
        errors = shard.instruments.metrics.counter(catalogue.STORE_ERRORS)
        await eventually(lambda: errors.child("postgresql", "commit", "timeout").value > 1)
        assert not shard.trading.is_writing
    await holder.close()
    await shard.drained()
    assert shard.decisions("committed") == 300
    assert shard.decisions("failed") == 0
    await check_book(dsn, shard)


async def test_a_database_that_refuses_connections_is_waited_for(
    shard: Shard, postgres_dsn: str
) -> None:
    """An error of connecting says nothing on the decisions."""
    server, _, name = postgres_dsn.rpartition("/")
    elsewhere = f"{server}/postgres"
    end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    await execute(elsewhere, end, f"ALTER DATABASE {name} RENAME TO {name}_away")
    fire(shard)
    errors = shard.instruments.metrics.counter(catalogue.STORE_ERRORS)
    await eventually(lambda: errors.child("postgresql", "connect", "refused").value > 1)
    assert not shard.trading.is_writing
    assert shard.trading.backlog == 300
    await execute(elsewhere, f"ALTER DATABASE {name}_away RENAME TO {name}")
    await shard.drained()
    assert shard.decisions("committed") == 300
    assert shard.decisions("failed") == 0
    await check_book(postgres_dsn, shard)


async def test_what_is_drained_is_told_already(shard: Shard) -> None:
    """Whoever looks in the very turn of the event loop in which nothing waits any more sees it."""
    loop = asyncio.get_running_loop()
    writer = shard.trading._writer
    assert writer is not None
    for number in range(1, 21):
        funding = asyncio.create_task(shard.fund(1, "1.00"))
        while writer._idle.is_set():  # noqa: ASYNC110 - each turn of the event loop is looked at
            await asyncio.sleep(0)
        told: asyncio.Future[float] = loop.create_future()

        def look(told: "asyncio.Future[float]" = told) -> None:
            if writer._idle.is_set():
                told.set_result(shard.decisions("committed"))
            else:
                loop.call_soon(look)

        look()
        assert await told == number
        await funding


def test_errors_of_the_data_are_not_waited_for() -> None:
    assert not is_transient(asyncpg.UniqueViolationError(""))
    assert not is_transient(asyncpg.CheckViolationError(""))
    assert not is_transient(asyncpg.NumericValueOutOfRangeError(""))
    assert not is_transient(asyncpg.CharacterNotInRepertoireError(""))
    assert not is_transient(AssertionError())


def test_a_connection_that_is_just_ending_is_waited_for() -> None:
    """What the driver says of one that the server has told why it ends it, before it is closed."""
    error = asyncpg.InternalClientError(
        "cannot switch to state 15; another operation (2) is in progress"
    )
    assert is_transient(error)
