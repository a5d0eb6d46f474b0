"""Streams of Redis: adding to them, and reading on from a position that is kept in memory.

A reader has a blocking connection of its own to the server that has the stream; of a cluster it
follows the stream to whoever has its slot, and to the replica after a failover. Whatever fails is
counted, and tried again every `RECONNECT_S`.

A position is the id of the entry read last. After a lost connection the server may be one that
never had that entry (a failover, a restart with nothing), and what was added there since may have
*lower* ids. So the entry is looked for first: if it is there, all that came before is known and
reading goes on behind it; if not, all the stream holds is read again. Nothing is ever skipped
unseen, and entries may be read twice: they must tell by themselves that they were. What was trimmed
away before it was read is missing, which no server tells: they must tell that by themselves too.

Cost: one command for all entries that wait, and for none a second.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from loguru import logger
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from service.instruments import Instruments
from service.storage.errors import failure_of
from service.storage.redis_node import (
    Command,
    bare_connection,
    closed_is_lost,
    send,
    uncancelled,
)
from service.storage.redis_servers import servers_of

BLOCK_S = 1.0
SILENCE_S = 3.0
WRITE_TIMEOUT_S = 2.0
RECONNECT_S = 0.1
START = b"0-0"


class Entry(NamedTuple):
    """An entry: its id, `milliseconds-number` by the server's clock, and its names and values."""

    id: bytes
    fields: list[bytes]

    @property
    def time_ms(self) -> int:
        """When it was added, Unix time by the server's clock."""
        return int(self.id.partition(b"-")[0])


class Streams:
    """The streams behind a Redis address."""

    def __init__(self, url: str, instruments: Instruments) -> None:
        self.servers = servers_of(url, instruments.redis_pool, (), lambda: None)
        self.instruments = instruments
        self._is_failing = False

    async def add(self, commands: Sequence[Command]) -> list[Any] | None:
        """Send commands at once; None: not all were done, as far as is known, and it was told."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S), uncancelled():
                replies = await self.servers.pipeline(commands)
        except (RedisError, OSError, TimeoutError) as error:
            seconds = time.perf_counter() - started
            self.instruments.redis_call("write_stream", seconds, failure=failure_of(error))
            self.servers.doubt()
            if not self._is_failing:
                self._is_failing = True
                logger.warning("cannot write to streams of Redis: {!r}", error)
            return None
        self.instruments.redis_call("write_stream", time.perf_counter() - started)
        if self._is_failing:
            self._is_failing = False
            logger.info("streams of Redis are written to again")
        return replies

    def reader(self, key: str) -> "StreamReader":
        """Return a reader that begins behind what is there when it first connects."""
        return StreamReader(self, key)

    async def close(self) -> None:
        for node in self.servers.nodes:
            await node.close()


class StreamReader:
    """Reads a stream from a position on; it is read by one task."""

    def __init__(self, streams: Streams, key: str) -> None:
        self._servers = streams.servers
        self._instruments = streams.instruments
        self._key = key
        self._position: bytes | None = None
        self._connection: AbstractConnection | None = None
        self._heard_s = time.monotonic()

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    @property
    def silent_s(self) -> float:
        """For how long the server has owed an answer; while nothing is added it owes none."""
        return max(0.0, time.monotonic() - self._heard_s - BLOCK_S)

    async def read(self, count: int) -> list[Entry]:
        """Return the next entries, `count` at most; none came within `BLOCK_S`, or it failed."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(SILENCE_S), uncancelled():
                connection = self._connection or await self._connect(started)
                block_ms = int(BLOCK_S * 1000)
                found = await _ask(
                    connection,
                    *("XREAD", "COUNT", count, "BLOCK", block_ms),
                    *("STREAMS", self._key, self._position or START),
                )
        except (RedisError, OSError, TimeoutError) as error:
            was_connected = self.is_connected
            await self.close()
            self._servers.doubt()
            seconds = time.perf_counter() - started
            self._instruments.redis_call("read_stream", seconds, failure=failure_of(error))
            if was_connected:
                logger.warning("lost the stream {}: {!r}", self._key, error)
            await asyncio.sleep(RECONNECT_S)
            return []
        except BaseException:
            await self.close()
            raise
        self._heard_s = time.monotonic()
        if not found:
            return []
        [[_, rows]] = found
        entries = [Entry(*row) for row in rows]
        self._position = entries[-1].id
        return entries

    async def close(self) -> None:
        """Leave the server; reading goes on at the same position."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def _connect(self, started: float) -> AbstractConnection:
        connection = bare_connection(await self._servers.url_of(self._key.encode()))
        try:
            with closed_is_lost():
                await connection.connect()  # type: ignore[no-untyped-call]
            if self._position is None:
                last = await _ask(connection, "XREVRANGE", self._key, "+", "-", "COUNT", 1)
                self._position = last[0][0] if last else START
            elif self._position != START:
                at = self._position
                if not await _ask(connection, "XRANGE", self._key, at, at):
                    logger.warning("the stream {} has lost entry {}: read anew", self._key, at)
                    self._position = START
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._connection = connection
        self._instruments.redis_call("read_stream", time.perf_counter() - started)
        return connection


async def _ask(connection: AbstractConnection, *command: str | bytes | int) -> Any:
    await send(connection, [command])
    return await connection.read_response(timeout=math.inf)
