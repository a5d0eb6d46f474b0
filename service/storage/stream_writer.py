"""Adding to many streams without waiting: what is to be added to one goes in its turn.

Each stream has a lane: while something is on its way there, what comes next waits and goes at
once. So a server that does not answer holds up its own streams alone. What could not be written is
told (`Streams.add`) and forgotten: who waits for what comes of it asks again.
"""

import asyncio
from contextvars import Context

from loguru import logger

from service.storage.redis_node import Command
from service.storage.streams import Streams

LANE_LIMIT = 10_000


class StreamWriter:
    """Adds entries to streams."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._lanes: dict[str, list[Command]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def put(self, key: str, *commands: Command) -> None:
        """Have commands on a stream sent soon, in order; never waits.

        Beyond `LANE_LIMIT` of one stream that wait, they are dropped.
        """
        lane = self._lanes.get(key)
        if lane is None:
            self._lanes[key] = list(commands)
            # On its own behalf, and not on that of whoever came first.
            task = asyncio.create_task(self._drain(key), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._is_done)
        elif len(lane) < LANE_LIMIT:
            lane.extend(commands)
        else:
            logger.warning("{} commands wait for the stream {}: one is dropped", len(lane), key)

    async def stop(self) -> None:
        """Send what waits, as far as it goes at the first attempt."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _drain(self, key: str) -> None:
        try:
            while lane := self._lanes[key]:
                self._lanes[key] = []
                await self._streams.add(lane)
        finally:
            del self._lanes[key]

    def _is_done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("writing to streams failed")
