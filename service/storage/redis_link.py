"""The way to Redis: it fails soon, says so, and never reaches the caller as an exception.

redis-py retries ten times by default, which turns a silent server into six seconds of waiting: here
nothing is retried and every wait is named. After a failure Redis is left alone for `PAUSE_S`, so
that an outage costs a second's first caller its timeout, and not every caller.

A new connection loads the scripts and compares the server's run id with the last one seen: another
server, or the same one restarted, may have lost or resurrected data, and `on_replaced` is told
before any command is sent on the connection.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from hiredis import pack_command
from loguru import logger
from opentelemetry.trace import SpanKind
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from service.instruments import Instruments
from service.storage.errors import failure_of

CONNECT_TIMEOUT_S = 0.5
SOCKET_TIMEOUT_S = 2.0
POOL_TIMEOUT_S = 0.5
READ_TIMEOUT_S = 0.5
WRITE_TIMEOUT_S = 2.0
PAUSE_S = 1.0
# Redis takes one command at a time, so that more connections only wait there instead of here; a
# pipeline of a large read holds one for milliseconds, and must not hold up the others.
MAX_CONNECTIONS = 16
# Replies taken before others get the event loop: two milliseconds of large ones.
REPLIES_AT_ONCE = 100

Result = TypeVar("Result")
Command = tuple[str | bytes | int, ...]
# Its published type knows commands of one word only.
_pack = cast("Callable[[Command], bytes]", pack_command)


class RedisLink:
    """A client whose calls are bounded, counted and never raise because of Redis."""

    def __init__(
        self,
        url: str,
        instruments: Instruments,
        scripts: Sequence[str],
        on_replaced: Callable[[], None],
    ) -> None:
        self._instruments = instruments
        self._scripts = scripts
        self._on_replaced = on_replaced
        self._run_id: str | None = None
        self._rests_until = 0.0
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=POOL_TIMEOUT_S,
            redis_connect_func=self._on_connect,
            **_options(protocol=3),
        )
        self._measured = instruments.redis_pool
        self._measured.watch(
            lambda: self._pool.get_connection_count()[1][0],
            lambda: self._pool.get_connection_count()[0][0],
            MAX_CONNECTIONS,
        )

    async def close(self) -> None:
        await self._pool.aclose()

    async def call(
        self, operation: str, timeout_s: float, ask: Callable[[], Awaitable[Result]]
    ) -> Result | None:
        """Return what `ask` returns, or None where Redis failed, is slow or is left alone."""
        started = time.perf_counter()
        if started < self._rests_until:
            return None
        span = self._instruments.tracing.span(f"redis {operation}", SpanKind.CLIENT)
        span.note("db.system.name", "redis")
        span.note("db.operation.name", operation)
        try:
            with span:
                async with asyncio.timeout(timeout_s), uncancelled():
                    result = await ask()
        except ResponseError as error:
            failure = failure_of(error)
            logger.error("Redis refused {}: {}", operation, error)
            # Perhaps its scripts were flushed: new connections load them again.
            await self._pool.disconnect(inuse_connections=False)
        except (RedisError, OSError, TimeoutError) as error:
            failure = failure_of(error)
            if not self._rests_until:
                logger.warning("Redis failed, going on without it: {!r} in {}", error, operation)
            self._rests_until = time.perf_counter() + PAUSE_S
        else:
            if self._rests_until:
                logger.info("Redis is back")
                self._rests_until = 0.0
            seconds = time.perf_counter() - started
            self._instruments.redis_call(operation, seconds, trace=span.trace)
            return result
        seconds = time.perf_counter() - started
        self._instruments.redis_call(operation, seconds, failure=failure, trace=span.trace)
        return None

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands at once and return their replies; call it within `call`.

        Packed in C, which redis-py's own asyncio pipeline is not: it takes a third of the time.
        """
        pool = self._pool
        with self._measured.waiting():
            connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        taken = time.perf_counter()
        try:
            packed = b"".join(map(_pack, commands))
            try:
                await connection.send_packed_command(packed, check_health=False)
            except RuntimeError as error:
                # uvloop's word for a connection that was closed while nobody used it.
                raise ConnectionError(str(error)) from error
            # `call` bounds the whole; a timeout for each reply would cost as much as the reply.
            replies = []
            for number in range(1, len(commands) + 1):
                replies.append(await connection.read_response(timeout=math.inf))
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

    async def ping(self) -> bool:
        """Tell whether Redis answers."""

        async def ask() -> bool:
            return await self.pipeline([("PING",)]) == [b"PONG"]

        return await self.call("ping", READ_TIMEOUT_S, ask) or False

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


@asynccontextmanager
async def uncancelled() -> AsyncIterator[None]:
    """Cancel once more what was cancelled inside and went on.

    redis-py sends within `asyncio.wait_for`, which before Python 3.12 forgets a cancellation that
    arrives together with its result. A loop would then run on for ever.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    yield
    if task.cancelling() > before:
        raise asyncio.CancelledError


def make_connection(url: str) -> AbstractConnection:
    """Return a bare connection for one subscriber, speaking RESP2; it is not yet connected."""
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
