"""A clock that a test sets forward: whatever sleeps wakes in its turn, and nothing takes time."""

import asyncio
import heapq
from itertools import count

from service.loops.rhythm import Clock

UNIX_START_S = 1_767_600_000.0
STEPS = 50  # of the event loop, far more than anything under test needs to come to rest


class ManualClock:
    """Virtual seconds since it was made."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now_s, lambda: UNIX_START_S + self.now_s, self.sleep)

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now_s + seconds, next(self._numbers), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Set the clock forward, letting everything due meanwhile happen in order."""
        end_s = self.now_s + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end_s:
            due_s, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                self.now_s = due_s
                woken.set_result(None)
                await settle()
        self.now_s = end_s


async def settle() -> None:
    """Let whatever can go on do so."""
    for _ in range(STEPS):
        await asyncio.sleep(0)
