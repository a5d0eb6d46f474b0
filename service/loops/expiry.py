"""Expiry: pending orders end when their time comes, quotes or not.

A quote cancels what has expired before it triggers anything; this loop does so while none come.
"""

import time
from collections.abc import Callable

from service.loops.trading import Trading

EXPIRY_INTERVAL_S = 1.0


class Expiry:
    """Cancels what has expired; `clock` is in ns UTC."""

    def __init__(self, trading: Trading, clock: Callable[[], int] = time.time_ns) -> None:
        self._trading = trading
        self._clock = clock

    async def run_once(self) -> int:
        """Cancel what has expired by now, and return how many orders that were.

        An engine that fails at it holds what no decision tells: trading starts over.
        """
        now = self._clock()
        try:
            return len(self._trading.decide(lambda engine: engine.expire(now)))
        except Exception as error:
            self._trading.start_over(error)
            raise
