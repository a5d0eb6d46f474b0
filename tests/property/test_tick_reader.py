"""Whatever a stream loses, repeats, delays: each tick once at most, in order, or told as lost."""

import asyncio
from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from service.domain.quote import Quote
from service.instruments import Instruments
from service.loops.tick_stream import TickReader
from service.storage.streams import Entry, Streams
from telemetry import catalogue

EPOCHS = 3
Batch = tuple[int, int, int]  # epoch, number of the first quote, how many

# What feeds wrote, one after the other, and in which order and how often it is read.
WRITTEN = st.lists(st.lists(st.integers(1, 5), max_size=8), min_size=1, max_size=EPOCHS)
READ = st.lists(st.integers(0, 8 * EPOCHS), max_size=40)


def batches(written: Sequence[Sequence[int]]) -> list[Batch]:
    found = []
    for epoch, sizes in enumerate(written):
        first = 0
        for size in sizes:
            found.append((epoch, first, size))
            first += size
    return found


def entry(batch: Batch) -> Entry:
    epoch, first, size = batch
    quotes = [Quote("EURUSD", epoch, first + place, 1) for place in range(size)]
    arrivals = [_arrival(epoch, quote.ask) for quote in quotes]
    fields = [b"e", b"%d" % epoch, b"n", b"%d" % first, b"q", msgspec.msgpack.encode(quotes)]
    return Entry(b"1-1", [*fields, b"a", msgspec.msgpack.encode(arrivals)])


def _arrival(epoch: int, number: int) -> int:
    return epoch * 1_000_000 + number


async def read(some: Sequence[Batch]) -> tuple[list[tuple[int, int]], float, int]:
    """Return what was handed on as (epoch, number), how much was told as lost, and how often."""
    instruments = Instruments()
    reader = TickReader(Streams("redis://127.0.0.1:1", instruments))
    taken: list[tuple[int, int]] = []
    gaps: list[bool] = []

    def take(quote: Quote, arrived_ns: int | None = None) -> None:
        assert arrived_ns == _arrival(quote.bid, quote.ask)
        taken.append((quote.bid, quote.ask))

    reader.hand_to(take)
    reader.gap_hooks.append(lambda: gaps.append(True))
    for batch in some:
        reader._hand_over(entry(batch))
    lost = instruments.metrics.counter(catalogue.TICKS_LOST).child().value
    return taken, lost, len(gaps)


@given(WRITTEN, READ)
def test_each_tick_is_taken_once_in_order_or_told_as_lost(
    written: list[list[int]], order: list[int]
) -> None:
    all_batches = batches(written)
    some = [all_batches[number] for number in order if number < len(all_batches)]
    taken, lost, gaps = asyncio.run(read(some))
    assert taken == sorted(set(taken))
    if not some:
        assert (taken, lost) == ([], 0)
        return
    # Of the epoch it began in a reader misses nothing that was before it; of later ones it does.
    begun = some[0][0]
    expected_lost = 0
    for epoch in range(begun, len(written)):
        numbers = [number for of, number in taken if of == epoch]
        if numbers:
            start = some[0][1] if epoch == begun else 0
            expected_lost += numbers[-1] + 1 - start - len(numbers)
    assert lost == expected_lost
    assert (gaps > 0) == (lost > 0)


@given(WRITTEN)
def test_nothing_is_lost_that_was_read(written: list[list[int]]) -> None:
    some = batches(written)
    taken, lost, _ = asyncio.run(read(some))
    assert taken == [(epoch, n) for epoch, first, size in some for n in range(first, first + size)]
    assert lost == 0
