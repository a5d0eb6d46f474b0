"""One Redis server: connections that fail soon, and pipelines packed in C.

redis-py retries ten times by default, which turns a silent server into six seconds of waiting: here
nothing is retried and every wait is named.

A new connection loads the scripts and compares the server's run id with the last one seen: another
server, or the same one restarted, may have lost or resurrected data, and `on_replaced` is told
before any command is sent on the connection.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, cast

from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from service.instruments.pools import Pool

CONNECT_TIMEOUT_S = 0.5
SOCKET_TIMEOUT_S = 2.0
POOL_TIMEOUT_S = 0.5
PROOF_S = 0.25
# Redis takes one command at a time, so that more connections only wait there instead of here; a
# pipeline of a large read holds one for milliseconds, and must not hold up the others.
MAX_CONNECTIONS = 16
# Replies taken before others get the event loop: two milliseconds of large ones.
REPLIES_AT_ONCE = 100

Command = tuple[str | bytes | int, ...]
_NO_KEY = frozenset({"PING", "INFO", "MULTI", "EXEC"})
# Its published type knows commands of one word only.
_pack = cast("Callable[[Command], bytes]", pack_command)


class LeftAlone(ConnectionError):
    """The server has just failed, and is not asked."""


class RedisNode:
    """A server and the connections to it.

    `url` is its own, `failed_at` when it last did not answer, 0 where it did since. Whoever uses it
    may leave it alone for a while; then it has `PROOF_S` to answer a ping before it is asked more.
    """

    def __init__(
        self, url: str, pool: Pool, scripts: Sequence[str], on_replaced: Callable[[], None]
    ) -> None:
        self.url = url
        self.failed_at = 0.0
        self._rests_until = 0.0
        self._scripts = scripts
        self._on_replaced = on_replaced
        self._run_id: str | None = None
        self._measured = pool
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=POOL_TIMEOUT_S,
            redis_connect_func=self._on_connect,
            **_options(protocol=3),
        )

    @property
    def used(self) -> int:
        """Connections in use."""
        return int(self._pool.get_connection_count()[1][0])

    @property
    def idle(self) -> int:
        """Connections that wait to be used."""
        return int(self._pool.get_connection_count()[0][0])

    @property
    def is_resting(self) -> bool:
        """Whether it is left alone."""
        return time.perf_counter() < self._rests_until

    def rest(self, seconds: float) -> None:
        """Leave it alone: whoever asks meanwhile is told so at once."""
        self._rests_until = time.perf_counter() + seconds

    async def close(self) -> None:
        with suppress(RedisError, OSError):  # it may have been lost, or not say good-bye
            await self._pool.aclose()

    async def drop_idle(self) -> None:
        """Have new connections made, which load the scripts again."""
        await self._pool.disconnect(inuse_connections=False)

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands at once; return their replies, those that are refusals as `ResponseError`.

        Packed in C, which redis-py's own asyncio pipeline is not: it takes a third of the time. The
        caller bounds the whole: a timeout for each reply would cost as much as the reply.

        Raises:
            RedisError, OSError: the server cannot be reached, or not to the end.
        """
        if self.is_resting:
            raise LeftAlone("it has just failed, and is left alone")
        try:
            if self._rests_until:
                self.rest(PROOF_S)  # others do not wait for the answer
                async with asyncio.timeout(PROOF_S):
                    await self._exchange([("PING",)])
                self._rests_until = 0.0
            replies = await self._exchange(commands)
        except BaseException:
            self.failed_at = time.perf_counter()
            raise
        self.failed_at = 0.0
        return replies

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        pool = self._pool
        with self._measured.waiting(), closed_is_lost():
            connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        taken = time.perf_counter()
        try:
            await send(connection, commands)
            replies: list[Any] = []
            for number in range(1, len(commands) + 1):
                try:
                    replies.append(await connection.read_response(timeout=math.inf))
                except ResponseError as error:
                    replies.append(error)
                if number % REPLIES_AT_ONCE == 0:
                    await asyncio.sleep(0)
            return replies
        except BaseException:
            # Replies may be on their way still: nobody may read them as his.
            await connection.disconnect(nowait=True)
            raise
        finally:
            self._measured.used(time.perf_counter() - taken)
            await pool.release(connection)

    async def _on_connect(self, connection: AbstractConnection) -> None:
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        run_id = _run_id(await connection.read_response())
        if self._run_id is not None and run_id != self._run_id:
            self._on_replaced()
        self._run_id = run_id
        for script in self._scripts:
            await connection.send_command("SCRIPT", "LOAD", script)
            await connection.read_response()


def key_of(command: Command) -> bytes | None:
    """Return the key that says where a command goes, None where it has none."""
    name = command[0]
    if name in _NO_KEY:
        return None
    key = command[3] if name == "EVALSHA" else command[1]
    return key if isinstance(key, bytes) else str(key).encode()


async def send(connection: AbstractConnection, commands: Sequence[Command]) -> None:
    """Send commands at once, packed in C.

    Raises:
        RedisError, OSError: the connection is lost.
    """
    with closed_is_lost():
        await connection.send_packed_command(b"".join(map(_pack, commands)), check_health=False)


@contextmanager
def closed_is_lost() -> Iterator[None]:
    """Raise ConnectionError for uvloop's word for a connection that was closed meanwhile."""
    try:
        yield
    except RuntimeError as error:
        raise ConnectionError(str(error)) from error


@asynccontextmanager
async def uncancelled() -> AsyncIterator[None]:
    """Cancel once more what was cancelled inside and went on, or failed.

    redis-py sends within `asyncio.wait_for`, which before Python 3.12 forgets a cancellation that
    arrives together with its result, or its failure. A loop would then run on for ever.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    try:
        yield
    finally:
        if task.cancelling() > before:
            raise asyncio.CancelledError


def bare_connection(url: str) -> AbstractConnection:
    """Return a connection for one subscriber, speaking RESP2; it is not yet connected."""
    pool = BlockingConnectionPool.from_url(url, **_options(protocol=2))
    return pool.connection_class(**pool.connection_kwargs)


def _options(*, protocol: int) -> dict[str, Any]:
    return {
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": SOCKET_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
        "protocol": protocol,
    }


def _run_id(info: object) -> str:
    text = info.decode() if isinstance(info, bytes) else str(info)
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == "run_id":
            return value
    return ""
