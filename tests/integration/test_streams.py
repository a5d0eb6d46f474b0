"""A stream is read from a position on, whatever happens to the server: nothing is skipped."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from service.instruments import Instruments
from service.storage.redis_servers import SLOTS, slot_of
from service.storage.streams import StreamReader, Streams
from tests.faultproxy import FaultProxy
from tests.proxied import through
from tests.redis_cluster import running_cluster
from tests.support import eventually

KEY = "{ticks}"


class Reading:
    """Reads a stream in the background, and writes down the numbers in its entries."""

    def __init__(self, url: str) -> None:
        self.streams = Streams(url, Instruments())
        self.reader: StreamReader = self.streams.reader(KEY)
        self.numbers: list[int] = []
        self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            for entry in await self.reader.read(10):
                self.numbers.append(int(entry.fields[1]))

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.wait((self._running,))
        await self.reader.close()
        await self.streams.close()


@pytest.fixture
async def read() -> AsyncIterator[Callable[[str], Reading]]:
    started = []

    def read(url: str) -> Reading:
        started.append(Reading(url))
        return started[-1]

    yield read
    for each in started:
        await each.stop()


async def add(redis: Redis, *numbers: int, at: str = "*") -> None:
    for number in numbers:
        await redis.xadd(KEY, {"n": number}, id=at)


async def test_reading_begins_behind_what_is_there(
    redis: Redis, redis_url: str, read: Callable[[str], Reading]
) -> None:
    await add(redis, 1, 2)
    reading = read(redis_url)
    await eventually(lambda: reading.reader.is_connected)
    await add(redis, *range(3, 40))
    await eventually(lambda: len(reading.numbers) == 37)
    assert reading.numbers == list(range(3, 40))


async def test_reading_goes_on_where_it_was_when_the_connection_is_back(
    redis: Redis, redis_url: str, redis_proxy: FaultProxy, read: Callable[[str], Reading]
) -> None:
    reading = read(through(redis_proxy, redis_url))
    await eventually(lambda: reading.reader.is_connected)
    await add(redis, 1, 2)
    await eventually(lambda: len(reading.numbers) == 2)
    await redis_proxy.cut()
    await add(redis, 3, 4)
    await eventually(lambda: not reading.reader.is_connected)
    await redis_proxy.restore()
    await eventually(lambda: len(reading.numbers) == 4)
    await add(redis, 5)
    await eventually(lambda: len(reading.numbers) == 5)
    assert reading.numbers == [1, 2, 3, 4, 5]


async def test_a_silent_server_is_left_and_found_again(
    redis: Redis,
    redis_url: str,
    redis_proxy: FaultProxy,
    read: Callable[[str], Reading],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.storage.streams.SILENCE_S", 1.2)
    reading = read(through(redis_proxy, redis_url))
    await eventually(lambda: reading.reader.is_connected)
    redis_proxy.pause()
    await eventually(lambda: not reading.reader.is_connected)
    assert reading.reader.silent_s > 0
    await add(redis, 1)
    await redis_proxy.cut()
    redis_proxy.resume()
    await redis_proxy.restore()
    await eventually(lambda: reading.numbers == [1])
    assert reading.reader.silent_s < 1


def test_a_connection_that_was_closed_between_two_reads_is_a_lost_one(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvloop has an error of its own for it."""
    monkeypatch.setattr("service.storage.streams.BLOCK_S", 0.05)

    async def read_on() -> None:
        streams = Streams(redis_url, Instruments())
        reader = streams.reader(KEY)
        assert await reader.read(1) == []
        assert reader._connection is not None
        assert reader._connection._writer is not None
        reader._connection._writer.transport.abort()
        await asyncio.sleep(0.05)
        assert await reader.read(1) == []
        assert not reader.is_connected
        await streams.add([("XADD", KEY, "*", "n", 1)])
        assert [entry.fields for entry in await reader.read(1)] == [[b"n", b"1"]]
        await reader.close()
        await streams.close()

    uvloop.run(read_on())


async def test_a_connection_that_is_reset_in_its_greeting_is_a_lost_one(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So says uvloop; when it does is a matter of microseconds."""

    async def connect(self: AbstractConnection) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>")

    streams = Streams(redis_url, Instruments())
    reader = streams.reader(KEY)
    with monkeypatch.context() as patched:
        patched.setattr(AbstractConnection, "connect", connect)
        assert await reader.read(1) == []
    monkeypatch.setattr("service.storage.streams.BLOCK_S", 0.05)
    assert await reader.read(1) == []
    assert reader.is_connected
    await reader.close()
    await streams.close()


@pytest.mark.parametrize("at", ["*", "5-1"], ids=["later ids", "lower ids"])
async def test_a_server_that_came_back_with_nothing_is_read_from_its_start(
    at: str, redis: Redis, redis_url: str, redis_proxy: FaultProxy, read: Callable[[str], Reading]
) -> None:
    reading = read(through(redis_proxy, redis_url))
    await eventually(lambda: reading.reader.is_connected)
    await add(redis, 1)
    await eventually(lambda: reading.numbers == [1])
    await redis_proxy.cut()
    await redis.flushall()
    await add(redis, 2, at=at)
    await redis_proxy.restore()
    await eventually(lambda: reading.numbers == [1, 2])


async def test_what_a_failover_lost_is_noticed_and_all_is_read_again(
    redis: Redis, redis_url: str, redis_proxy: FaultProxy, read: Callable[[str], Reading]
) -> None:
    """The replica has 1 and not 2; what is added there comes before 2 by its id."""
    reading = read(through(redis_proxy, redis_url))
    await eventually(lambda: reading.reader.is_connected)
    await add(redis, 1, at="100-1")
    await add(redis, 2, at="300-1")
    await eventually(lambda: reading.numbers == [1, 2])
    await redis_proxy.cut()
    await redis.delete(KEY)
    await add(redis, 1, at="100-1")
    await add(redis, 3, at="200-1")
    await add(redis, 4, at="400-1")
    await redis_proxy.restore()
    await eventually(lambda: reading.numbers == [1, 2, 1, 3, 4])


async def test_on_a_cluster_a_reader_follows_the_slot_and_the_replica(
    read: Callable[[str], Reading],
) -> None:
    with running_cluster(replicas=True) as cluster:
        owner = slot_of(KEY.encode()) * 3 // SLOTS
        reading = read(cluster.url)
        await eventually(lambda: reading.reader.is_connected)
        await cluster.masters[owner].ask("XADD", KEY, "*", "n", 1)
        await eventually(lambda: reading.numbers == [1])
        await cluster.masters[owner].ask("WAIT", 1, 10_000)
        cluster.masters[owner].kill()
        added = None
        async with asyncio.timeout(60):
            while added is None:
                added = await reading.streams.add([("XADD", KEY, "*", "n", 2)])
                await asyncio.sleep(0.1)
        await eventually(lambda: reading.numbers[-1] == 2)
        assert reading.numbers[:2] == [1, 2]
