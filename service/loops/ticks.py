"""The path of quotes: from the feed to the engine, and its decisions to the writer.

Nothing here waits, and next to nothing is told of a tick that decides nothing: the desk numbers
ticks, which is asked for at scrape; an age is taken once in `AGE_INTERVAL_NS`; a tick that decides
something is timed by the clock that live guards read anyway. Only where traces go to a collector
does every tick read the clock once more, since a slow one is traced whatever it does.
"""

import time
from abc import ABC, abstractmethod
from collections import Counter

from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.quote import Quote, QuoteRefusal
from service.domain.swap import next_rollover, owe_swaps
from service.instruments import Instruments
from service.loops.tick_span import TICK_LIMIT_NS, deciding_tick, slow_tick
from service.storage.writer import QUEUE_LIMIT, Writer

AGE_INTERVAL_NS = 10_000_000


class Ticks(ABC):
    """Takes quotes into the engine of the moment, which judges them while there is a writer."""

    def __init__(self, instruments: Instruments, engine: Engine) -> None:
        self._instruments = instruments
        self._tracing = instruments.tracing
        self._looks_for_slow_ticks = self._tracing.is_on
        self._writer: Writer | None = None
        self._next_rollover = self._next_look = 0
        self.engine = engine
        self._quotes_before = -engine.desk.tick  # taken by other engines
        self._refused: Counter[str] = Counter()
        instruments.watch_quotes(lambda: self._quotes_before + self.desk.tick)
        instruments.watch_refusals(self._refused.__getitem__)

    @property
    def desk(self) -> Desk:
        """The engine's state, for reading."""
        return self.engine.desk

    def follow(self, engine: Engine) -> None:
        """Take quotes into another engine from now on."""
        self._quotes_before += self.desk.tick - engine.desk.tick
        self.engine = engine
        self._next_rollover = self._next_look = 0

    @abstractmethod
    def start_over(self, error: Exception) -> None:
        """Stop trading on a memory that may hold what no decision tells; it is loaded anew."""

    def on_quote(self, quote: Quote, arrived_ns: int | None = None) -> None:
        """Take a live quote, guarded by the clock it arrived at: `arrived_ns`, if not now."""
        now = time.time_ns()
        if now >= self._next_look:
            self._look(quote, now)
        self._take(quote, now if arrived_ns is None else arrived_ns, now)

    def _look(self, quote: Quote, now: int) -> None:
        """Do before a quote what is due by the clock, and not with every quote."""
        if now >= self._next_rollover:
            self.mark_rollover(now)
        self._instruments.quote_age((now - quote.time) / 1e9)
        self._next_look = now + AGE_INTERVAL_NS
        if self._writer is not None:
            self._next_look = min(self._next_look, self._next_rollover)

    def on_quote_at(self, quote: Quote, now: int) -> QuoteRefusal | None:
        """Take a quote at clock `now`: judge it, or only follow the price when that cannot be."""
        return self._take(quote, now, time.time_ns())

    def _take(self, quote: Quote, now: int, received_ns: int) -> QuoteRefusal | None:
        # It was received at Unix time `received_ns`.
        writer = self._writer
        if writer is None or writer.backlog >= QUEUE_LIMIT:
            return self.prime(quote, now)
        try:
            outcome = self.engine.on_quote(quote, now)
        except Exception as error:
            self.start_over(error)
            return None
        if outcome:
            if isinstance(outcome, QuoteRefusal):
                self._refused[outcome] += 1
                return outcome
            cause = deciding_tick(self._tracing, received_ns, len(outcome))
            took_ns = max(0, time.time_ns() - received_ns)
            writer.put(outcome, time.perf_counter_ns() - took_ns, cause)
            self._instruments.tick_to_trigger(took_ns / 1e9, None if cause is None else cause.trace)
        elif self._looks_for_slow_ticks and time.time_ns() - received_ns > TICK_LIMIT_NS:
            slow_tick(self._tracing, received_ns)
        return None

    def prime(self, quote: Quote, now: int) -> QuoteRefusal | None:
        """Follow a price without judging it."""
        refusal = self.engine.admit(quote, now)
        if refusal is not None:
            self._refused[refusal] += 1
        return refusal

    def mark_rollover(self, now: int) -> None:
        """Mark who owes a swap at `now` (ns UTC); live, before anything else is decided then."""
        self._next_look = 0  # lest a clock that was set back put it off
        if self._writer is None or now < self._next_rollover:
            return
        desk = self.desk
        if not desk.rolled_until:
            desk.rolled_until = now  # the first start: nothing is owed for the time before
        owe_swaps(desk, now)
        self._next_rollover = next_rollover(now)
