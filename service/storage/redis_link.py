"""The way to Redis: it fails soon, says so, and never reaches the caller as an exception.

A server that failed is left alone for `PAUSE_S`, so that an outage costs a second's first caller
its timeout, and not every caller. Of a cluster the other nodes are asked on; a call that needs one
that failed does what it can with the others, and fails.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from loguru import logger
from opentelemetry.trace import SpanKind
from redis.exceptions import RedisError, ResponseError

from service.instruments import Instruments
from service.storage.errors import failure_of
from service.storage.redis_node import MAX_CONNECTIONS, Command, LeftAlone, uncancelled
from service.storage.redis_servers import servers_of

READ_TIMEOUT_S = 0.5
WRITE_TIMEOUT_S = 2.0
PAUSE_S = 1.0

Result = TypeVar("Result")


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
        self._has_failed = False
        pool = instruments.redis_pool
        servers = self._servers = servers_of(url, pool, scripts, on_replaced)
        pool.watch(
            lambda: sum(node.used for node in servers.nodes),
            lambda: sum(node.idle for node in servers.nodes),
            MAX_CONNECTIONS * len(servers.nodes),
        )

    async def close(self) -> None:
        for node in self._servers.nodes:
            await node.close()

    async def call(
        self, operation: str, timeout_s: float, ask: Callable[[], Awaitable[Result]]
    ) -> Result | None:
        """Return what `ask` returns, or None where Redis failed, is slow or is left alone."""
        started = time.perf_counter()
        if all(node.is_resting for node in self._servers.nodes):
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
            for node in self._servers.nodes:
                await node.drop_idle()
            self._servers.doubt()
        except (RedisError, OSError, TimeoutError) as error:
            failure = failure_of(error)
            failed = [node for node in self._servers.nodes if node.failed_at >= started]
            for node in failed:
                node.rest(PAUSE_S)
            if isinstance(error, LeftAlone) and not failed:
                return None
            if not self._has_failed:
                logger.warning("Redis failed, going on without it: {!r} in {}", error, operation)
            self._has_failed = True
            self._servers.doubt()
        else:
            if self._has_failed and not any(node.failed_at for node in self._servers.masters):
                logger.info("Redis is back")
                self._has_failed = False
            seconds = time.perf_counter() - started
            self._instruments.redis_call(operation, seconds, trace=span.trace)
            return result
        seconds = time.perf_counter() - started
        self._instruments.redis_call(operation, seconds, failure=failure, trace=span.trace)
        return None

    async def pipeline(
        self, commands: Sequence[Command], replies: list[Any] | None = None
    ) -> list[Any]:
        """Send commands at once and return their replies in their order; call it within `call`.

        What was replied is in `replies` too, a list as long as `commands`, however it ends.
        """
        return await self._servers.pipeline(commands, replies)

    def is_away(self, key: str) -> bool:
        """Tell whether the server that has a key is known not to have answered last time."""
        return self._servers.is_away(key.encode())

    async def ping(self) -> bool:
        """Tell whether Redis answers, of a cluster every master."""
        return await self.call("ping", READ_TIMEOUT_S, self._servers.ping) or False

    async def info(self) -> list[bytes] | None:
        """Return what Redis says of itself, of a cluster every master; None where one is silent."""
        return await self.call("info", READ_TIMEOUT_S, self._servers.info)
