"""The receiving side of the feed benchmarks: the service from the socket to the decision.

A real WebSocket feed hands quotes to the trading shell, and that to an engine with the guards of
production, 10,000 orders that rest out of reach, and those that the turn will trigger. Decisions
stay with the writer, which has no database and never runs: they are taken from it when the turn is
over, and the spans of their ticks ended, as after a commit.

Shells share one engine and so its memory; each turn connects anew. Nothing but the shell tells one
turn from another of the same quotes.
"""

import asyncio
import gc
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from random import Random
from typing import NamedTuple

from service.domain.engine import Engine
from service.domain.quote import Quote, QuoteGuard, QuoteRefusal
from service.domain.watch import watch_account
from service.feed.feed import OnQuote
from service.feed.websocket import WebSocketFeed
from service.instruments import Instruments
from service.loops.trading import Trading
from service.storage.database import Database
from service.storage.journeys import commit_span, follow_commit
from service.storage.lease import Lease
from service.storage.queue import Batch
from service.storage.reader import Reader
from service.storage.writer import Writer
from tests.bench.brokerage import (
    INSTRUMENTS,
    accounts_for,
    desk_with_settings,
    resting_orders,
    seat,
)
from tests.bench.feed_turns import Turn, orders_of, seat_dippers, ticks_of
from tests.bench.feed_upstream import HOST
from tests.bench.processes import answer, process

RESTING_ORDERS = 10_000
TURN_TIMEOUT_S = 60.0
_NEVER_CONNECTED = "postgresql://never.connected"


class Taken(NamedTuple):
    """What a turn took from its first quote to its last, on the clock and of this process's CPU."""

    seconds: float
    cpu_s: float


class Mark(NamedTuple):
    """A moment, by the clock and by the CPU time of this process, in seconds."""

    clock: float
    cpu: float

    @staticmethod
    def now() -> "Mark":
        return Mark(time.perf_counter(), time.process_time())

    def since(self, start: "Mark") -> Taken:
        return Taken(self.clock - start.clock, self.cpu - start.cpu)


class Shell(NamedTuple):
    """A trading shell, and what it tells of itself by."""

    trading: Trading
    instruments: Instruments


class FeedDesk:
    """An engine that is fed over a socket, through one shell after another."""

    def __init__(self, upstream: str) -> None:
        """Load the engine; `upstream` is the base URL of `tests.bench.feed_upstream`."""
        self._upstream = upstream
        self._desk = desk_with_settings()
        seat(self._desk, accounts_for(RESTING_ORDERS))
        self._engine = Engine(self._desk, QuoteGuard())
        self._engine.load(resting_orders(self._desk, RESTING_ORDERS))
        now = time.time_ns()
        for instrument in INSTRUMENTS:
            bid = instrument.price - instrument.spread // 2
            quote = Quote(instrument.symbol.name, bid, bid + instrument.spread, now)
            assert self._engine.admit(quote, now) is None
        self._engine.begin()
        gc.collect()
        gc.freeze()

    def shell(self, instruments: Instruments, kind: type[Trading] = Trading) -> Shell:
        """Return a trading shell around the engine."""
        database = Database(_NEVER_CONNECTED, instruments)
        trading = kind(database, Reader(database, dict), instruments, self._engine)
        return Shell(trading, instruments)

    @contextmanager
    def dealing(self, shell: Shell, turn: Turn) -> "Iterator[HeldWriter]":
        """Have the turn's orders rest and the shell trade; in the end take all of it away again."""
        trading, instruments = shell
        dippers = seat_dippers(self._desk, turn.dips())
        self._engine.load(orders_of(self._desk, ticks_of(turn)))
        for account_id in dippers:
            watch_account(self._desk, self._desk.accounts[account_id])
        database = Database(_NEVER_CONNECTED, instruments)
        lease = Lease(0, 1, uuid.UUID(int=0), 0, 0)
        writer = HeldWriter(database, lease, trading.symbols, trading)
        trading.lead(self._engine, writer)
        try:
            yield writer
        finally:
            for account_id in dippers:
                self._desk.take_out(account_id)

    async def take(self, shell: Shell, turn: Turn, on_quote: OnQuote | None = None) -> Taken:
        """Take a turn; return what it took.

        `on_quote` gets the quotes in the shell's place, and hands them on.
        """
        trading, instruments = shell
        with self.dealing(shell, turn) as writer:
            first_tick = self._desk.tick
            gc.collect()
            taken = await self._listen(trading, turn, on_quote or trading.on_quote)
            assert self._desk.tick - first_tick == turn.quotes
            batches = list(writer.take_all())
            decided = [each.decision.order for batch in batches for each in batch.written]
            assert len(decided) == turn.dips(), "each dip triggers the order it is for"
            for batch in batches:
                commit = commit_span(instruments.tracing, batch.queued)
                follow_commit(instruments.tracing, commit, batch.queued)
        return taken

    async def _listen(self, trading: Trading, turn: Turn, on_quote: OnQuote) -> Taken:
        marks: list[Mark] = []
        is_over = asyncio.Event()

        def mark(_: QuoteRefusal) -> None:
            marks.append(Mark.now())
            if len(marks) == 2:
                is_over.set()

        feed = WebSocketFeed(
            f"{self._upstream}/?{turn.query}",
            trading.symbols,
            Random(0),
            time.time_ns,
            on_malformed=mark,
            on_reconnect=_lost,
            connections=1,
        )
        async with asyncio.timeout(TURN_TIMEOUT_S), asyncio.TaskGroup() as group:
            feeding = group.create_task(feed.run(on_quote))
            await is_over.wait()
            feeding.cancel()
        start, end = marks
        return end.since(start)


class HeldWriter(Writer):
    """A writer that keeps what is put."""

    def take_all(self) -> Iterator[Batch]:
        """Take what was put, as the batches that would have been committed."""
        while len(self._queue):
            batch = self._queue.take()
            assert isinstance(batch, Batch)
            yield batch


def _lost() -> None:
    raise ConnectionError("the upstream of the benchmark went away")


@asynccontextmanager
async def feed_upstream() -> AsyncIterator[str]:
    """Run an upstream in a process of its own; yield its base URL."""
    async with process("tests.bench.feed_upstream") as upstream:
        yield f"ws://{HOST}:{await answer(upstream)}"
