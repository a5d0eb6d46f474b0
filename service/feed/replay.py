"""The replay feed: recorded quotes again, as they came, faster, or as fast as the service can.

At full speed the feed waits for `ready` and gives way to the event loop every `YIELD_EVERY` quotes;
`ready` is where a full queue holds it back. At a speed it waits as long as the recording did,
divided by the speed; recorded times that go back cost no waiting.

A feed for a live service is given `live_clock`, which stamps the quotes, for its engine judges ages
by the clock. Without it quotes keep their recorded times, and in each further lap of a loop they
are shifted to follow the lap before.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from service.domain.quote import Quote
from service.feed.feed import Clock, OnQuote, Sleep

YIELD_EVERY = 256
_NS_PER_S = 1_000_000_000
_LAP_GAP_NS = _NS_PER_S


async def always_ready() -> None:
    """Hold nothing back."""


class ReplayFeed:
    """Replays quotes once, or in a loop. One `run` at a time."""

    def __init__(
        self,
        open_quotes: Callable[[], Iterable[Quote]],
        *,
        speed: float | None,
        loop: bool = False,
        live_clock: Clock | None = None,
        ready: Callable[[], Awaitable[None]] = always_ready,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Set up the feed.

        Args:
            open_quotes: starts the recording anew, once for each lap.
            speed: 1 is as recorded, 10 ten times as fast; None is as fast as possible.
            ready: awaited regularly, at any speed; returns when more quotes can be taken.

        Raises:
            ValueError: a speed that is not above 0.
        """
        if speed is not None and not speed > 0:
            raise ValueError(f"the speed of a replay must be above 0, not {speed}")
        self._open_quotes = open_quotes
        self._speed = speed
        self._loop = loop
        self._live_clock = live_clock
        self._ready = ready
        self._sleep = sleep
        self._last_message_time: int | None = None

    @property
    def healthy(self) -> bool:
        return self._last_message_time is not None

    @property
    def last_message_time(self) -> int | None:
        return self._last_message_time

    async def run(self, on_quote: OnQuote) -> None:
        """Replay to the end of the recording; in a loop, until cancelled.

        Raises:
            ValueError: the recording to loop over has no quote at all.
        """
        shift = 0
        while True:
            span = await self._lap(on_quote, shift)
            if not self._loop:
                return
            if span is None:
                raise ValueError("a recording without any quote cannot be replayed in a loop")
            first, last = span
            shift += last - first + _LAP_GAP_NS

    async def _lap(self, on_quote: OnQuote, shift: int) -> tuple[int, int] | None:
        """Replay once, times shifted by `shift` ns; return first and latest recorded time."""
        speed, live_clock = self._speed, self._live_clock
        now = asyncio.get_running_loop().time
        first = latest = None
        started = now()
        unyielded = 0
        for quote in self._open_quotes():
            time = quote.time
            if first is None or latest is None:
                first = latest = time
            elif time > latest:
                latest = time
            wait_s = 0.0
            if speed is not None:
                wait_s = started + (time - first) / _NS_PER_S / speed - now()
            unyielded += 1
            if wait_s > 0 or unyielded >= YIELD_EVERY:
                await self._ready()
                await self._sleep(max(wait_s, 0.0))
                unyielded = 0
            if live_clock is not None:
                time = live_clock()
                quote = quote._replace(time=time)
            elif shift:
                time += shift
                quote = quote._replace(time=time)
            on_quote(quote)
            self._last_message_time = time
        if first is None or latest is None:
            return None
        return first, latest
