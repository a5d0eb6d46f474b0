"""What the stores and the socket do by themselves: the limits beside which a service is laid.

A commit is the writer's own statement on a bare asyncpg connection, with the rows of ten orders
encoded before. A pipeline is of redis-py, with the calls that ten such orders make: an event
published and an entry of the cache written for each. The socket is aiohttp's: messages that were
sent one by one are received, decoded and dropped.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from service.storage.embedded import EmbeddedPostgres
from tests.bench.bursts import plan_bursts
from tests.bench.feed_desk import feed_upstream
from tests.bench.feed_turns import Turn
from tests.bench.ingest import receive
from tests.bench.triggers import BareSql, store_bursts
from tests.support import fresh_database

ORDERS = 10
WARM_UPS = 10
PAYLOAD = b"x" * 700  # as much as an event of an order
ENTRY_S = 60
QUOTES = 10_000
PAUSE_S = 0.002


async def commits_ms(server: EmbeddedPostgres, count: int) -> list[float]:
    """Commit the rows of ten orders so often; return what each took, ms."""
    bursts = plan_bursts({ORDERS: count}, WARM_UPS)
    taken = []
    async with fresh_database(server) as dsn:
        await store_bursts(dsn, bursts)
        async with BareSql.on(dsn) as bare:
            for burst in bursts:
                batches, _ = bare.prepare(burst)
                await asyncio.sleep(PAUSE_S)
                seconds = await bare.write(batches)
                if not burst.is_warm_up:
                    taken.append(seconds * 1e3)
    return taken


async def pipelines_ms(redis_url: str, count: int) -> list[float]:
    """Send the calls of ten orders so often; return what each pipeline took, ms."""
    taken = []
    async with _listening(redis_url), Redis.from_url(redis_url, protocol=3) as client:
        for number in range(WARM_UPS + count):
            await asyncio.sleep(PAUSE_S)
            started = time.perf_counter()
            async with client.pipeline(transaction=False) as pipeline:
                for account in range(ORDERS):
                    pipeline.publish(f"bare:{account}", PAYLOAD)
                    pipeline.set(f"bare:{account}", PAYLOAD, ex=ENTRY_S)
                await pipeline.execute()
            if number >= WARM_UPS:
                taken.append((time.perf_counter() - started) * 1e3)
    return taken


async def messages_per_s() -> float:
    """Return how many quotes a second of CPU time are received and decoded, one a message."""
    async with feed_upstream() as upstream:
        await receive(upstream, Turn(QUOTES, apart=1))
        return QUOTES / (await receive(upstream, Turn(QUOTES, seed=1, apart=1))).cpu_s


@asynccontextmanager
async def _listening(redis_url: str) -> AsyncIterator[None]:
    """Have somebody subscribed to what is published."""
    async with Redis.from_url(redis_url, protocol=3) as client, client.pubsub() as listener:
        await listener.psubscribe("bare:*")
        hearing = asyncio.create_task(_hear(listener.listen()))
        try:
            yield
        finally:
            hearing.cancel()
            await asyncio.wait((hearing,))


async def _hear(messages: AsyncIterator[object]) -> None:
    async for _ in messages:
        pass
