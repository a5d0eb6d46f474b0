"""Ticks between processes: the feed writes them to a stream, each engine and gateway reads them.

An entry is a batch of quotes with the feed's epoch and the number of its first quote within it. So
readers know by themselves what is missing, what they had already and what a former feed wrote late;
Redis may lose, repeat and delay what it likes. Every quote is handed on once, in order, with when
the feed got it: by that clock all judge its age alike, and one that comes late is judged still.

The writer never makes the feed wait. While Redis is away up to `WAITING_LIMIT` quotes wait; beyond,
the oldest are dropped: counted, logged, and seen by every reader as a gap. On a gap a reader counts
what is lost and tells `gap_hooks`, so that what has been crossed meanwhile is looked for at once.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from operator import itemgetter

import msgspec
from loguru import logger

from service.domain.quote import Quote
from service.loops.bus import TakeArrived
from service.storage.cache_keys import TICKS, ticks_key
from service.storage.redis_node import Command
from service.storage.streams import Entry, Streams
from telemetry.pulse import Pulse

BATCH = 64
BATCH_S = 0.001
BATCHES_AT_ONCE = 16
ENTRIES_AT_ONCE = 100
WAITING_LIMIT = 100_000
KEPT_MS = 60_000
RETRY_S = 0.05

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Quote]).decode
_decode_arrivals = msgspec.msgpack.Decoder(list[int]).decode


class TickWriter:
    """Writes the quotes of a feed while it holds the feeds' lease.

    While it does not it keeps the last of each symbol, and begins with them: what moved while no
    feed wrote, and is quiet since, is judged by them.
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._epoch: int | None = None
        self._first = 0  # the number of the first quote that waits
        self._waiting: deque[tuple[Quote, int]] = deque()
        self._last: dict[str, tuple[Quote, int]] = {}
        self._has_some = asyncio.Event()
        self._oldest_ms = 0
        self.written = 0
        self.pulse = Pulse()
        streams.instruments.watch_tick_writer(lambda: self.is_leading, lambda: self.written)

    @property
    def is_leading(self) -> bool:
        return self._epoch is not None

    def lead(self, epoch: int) -> None:
        """Write from now on, under the epoch of a lease."""
        if not self.is_leading:
            self._waiting = deque(sorted(self._last.values(), key=itemgetter(1)))
            self._last.clear()
        self._first = 0
        self._epoch = epoch
        self._has_some.set()

    def rest(self) -> None:
        """Write nothing from now on."""
        self._epoch = None
        self._waiting.clear()

    def take(self, quote: Quote) -> None:
        """Take a quote to be written; never waits."""
        arrived = (quote, time.time_ns())
        if self._epoch is None:
            self._last[quote.symbol] = arrived
            return
        waiting = self._waiting
        waiting.append(arrived)
        if len(waiting) == 1:
            self._has_some.set()
        elif len(waiting) > WAITING_LIMIT:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        """Make room for a second's worth at once, so that it is told once."""
        count = WAITING_LIMIT // 10
        for _ in range(count):
            self._waiting.popleft()
        self._first += count
        self._streams.instruments.ticks_lost(count)
        logger.error("{} ticks could not be written in time: they are lost", count)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            if not self._waiting:
                self._has_some.clear()
                await self.pulse.rest(self._has_some.wait())
            if len(self._waiting) < BATCH:
                await asyncio.sleep(BATCH_S)
            if not await self._write():
                await asyncio.sleep(RETRY_S)
            self.pulse.beat()

    async def flush(self) -> None:
        """Write what waits, unless it cannot be; the caller has ended `run`."""
        while self._waiting and await self._write():
            pass

    async def _write(self) -> bool:
        """Write what waits first; False: not all of it was, as far as is known."""
        if not self._waiting:
            return True  # the lease was lost or gained meanwhile
        epoch = self._epoch
        waiting = list(islice(self._waiting, BATCH * BATCHES_AT_ONCE))
        quotes, arrivals = [each[0] for each in waiting], [each[1] for each in waiting]
        first, end = self._first, self._first + len(quotes)
        commands: list[Command] = [
            (
                *("XADD", ticks_key(), "MINID", "~", self._oldest_ms, "*"),
                *("e", epoch or 0, "n", first + start),
                *("q", _encode(quotes[start : start + BATCH])),
                *("a", _encode(arrivals[start : start + BATCH])),
            )
            for start in range(0, len(quotes), BATCH)
        ]
        commands.append(("EXPIRE", ticks_key(), TICKS.expiry_s))
        replies = await self._streams.add(commands)
        if replies is None:
            return False
        # By the server's clock, which is not ours.
        self._oldest_ms = max(0, Entry(replies[-2], []).time_ms - KEPT_MS)
        if self._epoch == epoch:
            while self._waiting and self._first < end:
                self._waiting.popleft()
                self._first += 1
        self.written += len(quotes)
        return True


class TickReader:
    """Hands the quotes of the stream to whoever wants them."""

    def __init__(self, streams: Streams) -> None:
        self._reader = streams.reader(ticks_key())
        self._instruments = streams.instruments
        self._take: list[TakeArrived] = []
        self._epoch = self._refused = -1
        self._next: int | None = None
        self._lag_s = 0.0
        self.gap_hooks: list[Callable[[], None]] = []
        self.pulse = Pulse()

    @property
    def is_connected(self) -> bool:
        return self._reader.is_connected

    @property
    def lag_s(self) -> float:
        """How old what was read last was then, or for how long nothing can be read.

        By the server's clock and this one's: it tells too how far these are apart.
        """
        return max(self._lag_s, self._reader.silent_s)

    def hand_to(self, take_quote: TakeArrived) -> None:
        """Have every quote from now on taken."""
        self._take.append(take_quote)

    async def run(self) -> None:
        """Read until cancelled."""
        # Not before: a feed has a reader too, which never reads.
        self._instruments.watch_tick_lag(lambda: self.lag_s)
        try:
            while True:
                entries = await self._reader.read(ENTRIES_AT_ONCE)
                self.pulse.beat()
                self._lag_s = _age_s(entries[0]) if entries else 0.0
                for entry in entries:
                    self._hand_over(entry)
                    await asyncio.sleep(0)  # a batch holds the event loop, and not all of them
        finally:
            await self._reader.close()

    def _hand_over(self, entry: Entry) -> None:
        _, epoch, _, number, _, payload, _, arrivals = entry.fields
        quotes = _decode(payload)
        seen = self._count_seen(int(epoch), int(number), len(quotes))
        take = self._take
        for quote, arrived_ns in zip(quotes[seen:], _decode_arrivals(arrivals)[seen:], strict=True):
            # Counted first: what an engine fails on is not handed to it again.
            self._next = (self._next or 0) + 1
            for each in take:
                each(quote, arrived_ns)

    def _count_seen(self, epoch: int, number: int, count: int) -> int:
        """Return how many of a batch are not new, and tell what is missing before it."""
        if epoch < self._epoch:
            if epoch != self._refused:
                self._refused = epoch
                logger.warning(
                    "ticks under epoch {} are refused: they are a former feed's, {} has written",
                    epoch,
                    self._epoch,
                )
            return count
        if epoch > self._epoch:
            if self._epoch >= 0:
                logger.info("ticks now come under epoch {}, before under {}", epoch, self._epoch)
                self._next = 0
            self._epoch = epoch
        if self._next is None:
            self._next = number  # what came before this reader is nothing that it lost
        lost = number - self._next
        if lost > 0:
            logger.error("{} ticks are lost, up to number {} of epoch {}", lost, number, epoch)
            self._instruments.ticks_lost(lost)
            for hook in self.gap_hooks:
                hook()
            self._next = number
        return self._next - number


def _age_s(entry: Entry) -> float:
    return max(0.0, time.time() - entry.time_ms / 1000)
