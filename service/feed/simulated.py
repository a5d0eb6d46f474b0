"""The simulated feed: made-up quotes at a settable rate, from a seeded random source.

The same seed gives the same symbols and prices in the same order; only the times are the clock's.
The rate is an average: calm and hectic spells quote slower and faster. After a stall longer than
`MAX_CATCH_UP_S` the feed goes on from now and does not make up for what it missed.
"""

import asyncio
from collections.abc import Sequence
from random import Random

from service.domain.quote import Quote
from service.feed.feed import Clock, OnQuote, Sleep
from service.scenario.instruments import Instrument
from service.scenario.tape import Tape

DEFAULT_RATE = 100.0
MAX_CATCH_UP_S = 1.0
_YIELD_EVERY = 100


class SimulatedFeed:
    """Quotes instruments by a random walk. One `run` at a time."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        random: Random,
        clock: Clock,
        *,
        rate: float = DEFAULT_RATE,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Set up the feed.

        Args:
            clock: ns UTC, stamped on the quotes.
            rate: quotes a second on average, all symbols together, above 0.

        Raises:
            ValueError: no instrument, or a rate that is not above 0.
        """
        if not rate > 0:
            raise ValueError(f"the rate of the simulated feed must be above 0, not {rate}")
        self._tape = Tape(instruments, random)
        self._clock = clock
        self._interval_s = 1 / rate
        self._sleep = sleep
        self._last_message_time: int | None = None

    @property
    def healthy(self) -> bool:
        return self._last_message_time is not None

    @property
    def last_message_time(self) -> int | None:
        return self._last_message_time

    async def run(self, on_quote: OnQuote) -> None:
        """Quote until cancelled."""
        now = asyncio.get_running_loop().time
        due = now()
        unyielded = 0
        while True:
            symbol, bid, ask, pause = self._tape.advance()
            due += pause * self._interval_s
            wait_s = due - now()
            if wait_s > 0:
                await self._sleep(wait_s)
                unyielded = 0
            else:
                if wait_s < -MAX_CATCH_UP_S:
                    due = now()
                unyielded += 1
                if unyielded >= _YIELD_EVERY:
                    await self._sleep(0)
                    unyielded = 0
            time = self._clock()
            on_quote(Quote(symbol, bid, ask, time))
            self._last_message_time = time
