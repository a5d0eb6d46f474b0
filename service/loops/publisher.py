"""The publisher: what was committed goes to the cache and, by pub/sub, to the sockets.

It runs beside trading and never holds it up. What does not fit in its queue, or does not reach
Redis, is not lost: the outbox has it, event feeds catch up from there, and a new cache generation
makes every entry that missed it a miss.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from service.storage.cache import Cache
from service.storage.queue import Written
from telemetry.pulse import Pulse

QUEUE_LIMIT = 50_000
MAX_PUBLISH = 2_000


class Publisher:
    """Publishes one shard's committed events in order."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._queue: deque[str] = deque()
        self._wake = asyncio.Event()
        self.pulse = Pulse()

    def publish(self, written: Sequence[Written]) -> None:
        """Queue committed events; called by the writer's owner after each commit."""
        if len(self._queue) + len(written) > QUEUE_LIMIT:
            self._queue.clear()
            self._cache.renew()
            return
        self._queue.extend([each.payload for each in written])
        self._wake.set()

    async def run(self) -> None:
        """Publish for ever."""
        queue = self._queue
        while True:
            await self.pulse.rest(self._wake.wait())
            while queue:
                count = min(len(queue), MAX_PUBLISH)
                await self._cache.apply_events([queue.popleft() for _ in range(count)])
                self.pulse.beat()
            self._wake.clear()
