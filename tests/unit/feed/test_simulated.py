"""The simulated feed: determined by its seed but for the time, and always sane."""

import asyncio
from itertools import count
from random import Random

import pytest

from service.domain.quote import Quote
from service.feed.feed import Feed
from service.feed.simulated import SimulatedFeed
from service.scenario.instruments import INSTRUMENTS, choose_instruments
from service.scenario.tape import Tape


class Enough(Exception):
    pass


async def collect(seed: int, quotes: int, start: int = 1_000) -> tuple[list[Quote], list[float]]:
    taken: list[Quote] = []
    waits: list[float] = []
    clock = count(start)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    def take(quote: Quote) -> None:
        taken.append(quote)
        if len(taken) == quotes:
            raise Enough

    feed = SimulatedFeed(choose_instruments(20), Random(seed), clock.__next__, sleep=sleep)
    as_feed: Feed = feed
    assert not as_feed.healthy
    with pytest.raises(Enough):
        await as_feed.run(take)
    assert feed.healthy
    assert feed.last_message_time == taken[-2].time
    return taken, waits


async def test_the_same_seed_quotes_the_same() -> None:
    first, waits = await collect(3, 2_000)
    again, _ = await collect(3, 2_000, start=5_000)
    assert [quote[:3] for quote in first] == [quote[:3] for quote in again]
    assert [quote.time for quote in again] == list(range(5_000, 7_000)), "times are the clock's"
    other, _ = await collect(4, 2_000)
    assert [quote[:3] for quote in first] != [quote[:3] for quote in other]
    assert waits


def test_the_tape_is_sane_and_stays_near_its_start() -> None:
    tape = Tape(INSTRUMENTS, Random(5))
    starts = {instrument.symbol.name: instrument for instrument in INSTRUMENTS}
    seen = set()
    pauses = 0.0
    for _ in range(60_000):
        symbol, bid, ask, pause = tape.advance()
        instrument = starts[symbol]
        assert 0 < bid < ask
        assert abs(bid - instrument.price) < instrument.price * 0.1
        seen.add(symbol)
        pauses += pause
    assert seen == set(starts)
    assert 0.6 < pauses / 60_000 < 1.6, "a pause is about one mean interval"


def test_consecutive_quotes_do_not_jump_beyond_what_the_guard_takes() -> None:
    tape = Tape(INSTRUMENTS, Random(6))
    last: dict[str, int] = {}
    for _ in range(60_000):
        symbol, bid, _, _ = tape.advance()
        if symbol in last:
            assert abs(bid - last[symbol]) <= last[symbol] // 50
        last[symbol] = bid


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_must_be_above_zero(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        SimulatedFeed(choose_instruments(1), Random(1), lambda: 1, rate=rate)


def test_every_instrument_converts_to_usd_within_any_leading_part() -> None:
    pairs = set()
    for instrument in INSTRUMENTS:
        symbol = instrument.symbol
        pairs.add((symbol.base_currency, symbol.profit_currency))
        profit = symbol.profit_currency
        assert profit == "USD" or {(profit, "USD"), ("USD", profit)} & pairs
