"""The fault proxy does what it says, to real servers."""

import asyncio

import asyncpg
import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from service.storage.embedded import EmbeddedPostgres
from service.storage.server_process import LOOPBACK
from tests.faultproxy import FaultProxy, Finder, Moment
from tests.proxied import in_front_of, through
from tests.support import eventually, free_port

LOST = (OSError, asyncpg.ConnectionDoesNotExistError, asyncpg.InterfaceError)


async def connect(dsn: str) -> asyncpg.Connection:
    return await asyncpg.connect(dsn, timeout=10)


async def deals(dsn: str) -> int:
    connection = await connect(dsn)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM deals"))
    finally:
        await connection.close()


async def insert_a_deal(connection: asyncpg.Connection) -> None:
    async with connection.transaction():
        await connection.execute("INSERT INTO deals VALUES (1)")


@pytest.fixture
async def deals_dsn(postgres_dsn: str) -> str:
    connection = await connect(postgres_dsn)
    await connection.execute("CREATE TABLE deals (sequence bigint)")
    await connection.close()
    return postgres_dsn


async def test_it_carries_much_data_unharmed(
    postgres_server: EmbeddedPostgres, postgres_dsn: str
) -> None:
    async with in_front_of(postgres_server.dsn) as proxy:
        connection = await connect(through(proxy, postgres_dsn))
        sent = "0123456789" * 300_000
        assert await connection.fetchval("SELECT $1::text", sent) == sent
        await connection.close()
        await eventually(lambda: proxy.connections == 0)


async def test_a_commit_that_is_cut_before_the_server_never_happened(
    postgres_server: EmbeddedPostgres, deals_dsn: str
) -> None:
    async with in_front_of(postgres_server.dsn) as proxy:
        connection = await connect(through(proxy, deals_dsn))
        trap = proxy.arm(b"COMMIT;", Moment.BEFORE_FORWARD)
        committing = asyncio.create_task(insert_a_deal(connection))
        await trap.sprung()
        assert await deals(deals_dsn) == 0
        trap.cut()
        with pytest.raises(LOST):
            await committing
    assert await deals(deals_dsn) == 0


async def test_a_commit_whose_reply_is_cut_did_happen(
    postgres_server: EmbeddedPostgres, deals_dsn: str
) -> None:
    async with in_front_of(postgres_server.dsn) as proxy:
        connection = await connect(through(proxy, deals_dsn))
        trap = proxy.arm(b"COMMIT;", Moment.BEFORE_REPLY, reply=b"COMMIT\0")
        committing = asyncio.create_task(insert_a_deal(connection))
        await trap.sprung()
        assert await deals(deals_dsn) == 1
        assert not committing.done()
        trap.cut()
        with pytest.raises(LOST):
            await committing


@pytest.mark.parametrize("moment", Moment)
async def test_a_released_trap_does_no_harm_and_springs_once(
    postgres_server: EmbeddedPostgres, deals_dsn: str, moment: Moment
) -> None:
    async with in_front_of(postgres_server.dsn) as proxy:
        connection = await connect(through(proxy, deals_dsn))
        trap = proxy.arm(b"COMMIT;", moment, skip=2)
        await insert_a_deal(connection)
        await insert_a_deal(connection)
        assert not trap.has_sprung
        committing = asyncio.create_task(insert_a_deal(connection))
        await trap.sprung()
        trap.release()
        await committing
        await insert_a_deal(connection)
        assert await deals(deals_dsn) == 4
        await connection.close()


async def test_a_cut_resets_everyone_and_refuses_until_restored(
    postgres_server: EmbeddedPostgres, postgres_dsn: str
) -> None:
    async with in_front_of(postgres_server.dsn) as proxy:
        dsn = through(proxy, postgres_dsn)
        connections = [await connect(dsn) for _ in range(3)]
        await proxy.cut()
        assert proxy.connections == 0
        for connection in connections:
            with pytest.raises(LOST):
                await connection.execute("SELECT 1")
        with pytest.raises(ConnectionRefusedError):
            await connect(dsn)
        await proxy.restore()
        connection = await connect(dsn)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()


async def test_a_server_that_is_gone_resets_the_client() -> None:
    async with FaultProxy(LOOPBACK, free_port()) as proxy:
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.transport.abort()


async def test_a_black_hole_answers_nothing_and_loses_nothing(redis_url: str) -> None:
    async with in_front_of(redis_url) as proxy:
        client = redis.asyncio.Redis.from_url(through(proxy, redis_url))
        await client.ping()
        proxy.pause()
        impatient = redis.asyncio.Redis.from_url(
            through(proxy, redis_url), socket_timeout=0.1, retry=Retry(NoBackoff(), 0)
        )
        with pytest.raises(redis.TimeoutError):
            await impatient.ping()
        waiting = asyncio.ensure_future(client.incr("sequence"))
        direct = redis.asyncio.Redis.from_url(redis_url)
        assert await direct.get("sequence") is None
        proxy.resume()
        assert await waiting == 1
        for each in (client, impatient, direct):
            await each.aclose()


async def test_a_trap_works_on_redis(redis_url: str) -> None:
    async with in_front_of(redis_url) as proxy:
        client = redis.asyncio.Redis.from_url(
            through(proxy, redis_url), retry=Retry(NoBackoff(), 0)
        )
        trap = proxy.arm(b"INCR", Moment.BEFORE_REPLY)
        counting = asyncio.ensure_future(client.incr("sequence"))
        await trap.sprung()
        trap.cut()
        with pytest.raises(redis.ConnectionError):
            await counting
        assert await client.get("sequence") == b"1"
        await client.aclose()


async def test_delay_holds_both_ways(redis_url: str) -> None:
    loop = asyncio.get_running_loop()
    async with in_front_of(redis_url) as proxy:
        client = redis.asyncio.Redis.from_url(through(proxy, redis_url))
        await client.ping()
        proxy.delay_s = 0.05
        before = loop.time()
        await client.ping()
        assert loop.time() - before >= 0.1
        await client.aclose()


def test_a_pattern_split_over_reads_counts_once() -> None:
    finder = Finder(b"COMMIT")
    assert [finder.count(chunk) for chunk in (b"xxCOM", b"MIT;", b"COMMITCOMMIT", b"", b"T")] == [
        0,
        1,
        2,
        0,
        0,
    ]
