"""The quotes of a turn, and the orders that some of them trigger."""

from collections import Counter

from service.feed.upstream import FrameReader
from tests.bench.brokerage import INSTRUMENTS
from tests.bench.feed_turns import START_OR_END, Turn, messages_of, ticks_of

SYMBOLS = {instrument.symbol.name: instrument.symbol for instrument in INSTRUMENTS}
TIME = "2026-01-05T10:00:00.250Z"


def test_a_turn_survives_its_url() -> None:
    turn = Turn(2_000, 10, 0.01, 400, 7)
    assert Turn.of_query(turn.query) == turn


def test_ticks_are_those_of_the_turn_and_dip_ever_deeper() -> None:
    turn = Turn(3_000, triggering=0.05, seed=1)
    ticks = ticks_of(turn)
    assert ticks == ticks_of(turn) != ticks_of(turn._replace(seed=2))
    assert len(ticks) == turn.quotes
    assert len({tick.number for tick in ticks}) == len(INSTRUMENTS)
    dips: Counter[int] = Counter()
    lowest = {tick.number: 1 << 62 for tick in ticks}
    for tick in ticks:
        assert tick.ask - tick.bid == INSTRUMENTS[tick.number].spread
        if tick.dip:
            dips[tick.number] += 1
            assert tick.dip == dips[tick.number]
            assert tick.bid < lowest[tick.number]
        lowest[tick.number] = min(lowest[tick.number], tick.bid)
    assert dips.total() == turn.dips() == 150


def test_messages_hold_the_ticks_as_an_upstream_writes_them() -> None:
    turn = Turn(95, triggering=0.1)
    ticks = ticks_of(turn)
    for together, frames in ((1, 95), (10, 10)):
        messages = messages_of(turn._replace(together=together), ticks, TIME)
        assert len(messages) == frames
        reader = FrameReader()
        quotes = [quote for each in messages for quote in reader.read(each, SYMBOLS).quotes]
        assert [(quote.bid, quote.ask) for quote in quotes] == [
            (tick.bid, tick.ask) for tick in ticks
        ]
        assert {quote.time for quote in quotes} == {1_767_607_200_250_000_000}


def test_no_feed_can_read_where_a_turn_begins_and_ends() -> None:
    assert FrameReader().read(START_OR_END, SYMBOLS).malformed == 1
