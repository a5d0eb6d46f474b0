"""The feed the settings name, for the symbols there are."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.instrument import Symbol
from service.domain.quote import Quote
from service.feed.feed import Feed
from service.feed.replay import ReplayFeed
from service.feed.simulated import SimulatedFeed
from service.feed.websocket import WebSocketFeed
from service.feeds import make_feed
from service.instruments import Instruments
from service.scenario.instruments import INSTRUMENTS
from service.settings import FeedKind, Settings
from telemetry import catalogue
from telemetry.pulse import Pulse

KNOWN = {each.symbol.name: each.symbol for each in INSTRUMENTS}
HEADER = "time,symbol,bid,ask"
LINES = (
    "2019-01-01T23:00:00.071Z,EURUSD,1.14605,1.14643",
    "2019-01-01T23:00:00.078Z,EURUSD,1.1460x,1.14643",
    "2019-01-01T23:00:00.180Z,EURUSD,1.14608,1.14663",
    "2019-01-01T23:00:00.190Z,GBPUSD,1.2,1.3",
)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("TAPEWATCH_"):
            monkeypatch.delenv(name)


class Enough(Exception):
    pass


async def first_quotes(feed: Feed, count: int) -> list[Quote]:
    quotes: list[Quote] = []

    def take(quote: Quote) -> None:
        quotes.append(quote)
        if len(quotes) == count:
            raise Enough

    with pytest.raises(Enough):
        async with asyncio.timeout(30):
            await feed.run(take)
    return quotes


def simulated(symbols: dict[str, Symbol], **changes: object) -> Feed:
    settings = Settings(feed=FeedKind.SIMULATED, feed_rate=100_000, **changes)  # type: ignore[arg-type]
    return make_feed(settings, lambda: symbols, Instruments(), Pulse())


def recorded(tmp_path: Path, instruments: Instruments, *lines: str, **changes: object) -> Feed:
    path = tmp_path / "ticks.csv"
    path.write_text("".join(f"{line}\n" for line in (HEADER, *lines)), encoding="utf-8")
    settings = Settings(feed=FeedKind.REPLAY, feed_file=path, feed_speed=None, **changes)  # type: ignore[arg-type]
    return make_feed(settings, lambda: {"EURUSD": KNOWN["EURUSD"]}, instruments, Pulse())


# Simulated


async def test_the_simulated_feed_quotes_the_symbols_there_are_alone() -> None:
    symbols = {name: KNOWN[name] for name in ("EURUSD", "USDJPY")}
    made_up = replace(KNOWN["EURUSD"], name="MADEUP")
    feed = simulated(symbols | {"MADEUP": made_up})
    assert isinstance(feed, SimulatedFeed)
    quotes = await first_quotes(feed, 200)
    assert {quote.symbol for quote in quotes} == set(symbols)


async def test_a_symbol_with_other_digits_is_not_quoted() -> None:
    """Its prices would be wrong by powers of ten."""
    symbols = {
        "EURUSD": replace(KNOWN["EURUSD"], digits=4),
        "USDJPY": KNOWN["USDJPY"],
    }
    quotes = await first_quotes(simulated(symbols), 50)
    assert {quote.symbol for quote in quotes} == {"USDJPY"}


async def test_the_seed_decides_what_is_quoted() -> None:
    def shape(quotes: list[Quote]) -> list[tuple[str, int, int]]:
        return [quote[:3] for quote in quotes]

    first = shape(await first_quotes(simulated(KNOWN, feed_seed=3), 50))
    again = shape(await first_quotes(simulated(KNOWN, feed_seed=3), 50))
    other = shape(await first_quotes(simulated(KNOWN, feed_seed=4), 50))
    assert first == again
    assert first != other


def test_a_simulated_feed_that_knows_no_symbol_is_an_error() -> None:
    with pytest.raises(ValueError, match="set TAPEWATCH_FEED"):
        simulated({"MADEUP": replace(KNOWN["EURUSD"], name="MADEUP")})


async def test_a_feed_whose_next_quote_is_far_away_is_no_hang() -> None:
    pulse = Pulse()
    settings = Settings(feed=FeedKind.SIMULATED, feed_rate=0.0001)
    feed = make_feed(settings, lambda: KNOWN, Instruments(), pulse)
    running = asyncio.create_task(feed.run(lambda quote: None))
    for _ in range(5):
        await asyncio.sleep(0)
    assert [pulse.look() for _ in range(5)] == [0] * 5
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


# Recorded


async def test_the_replay_feed_stamps_its_quotes_with_the_clock(tmp_path: Path) -> None:
    instruments = Instruments()
    feed = recorded(tmp_path, instruments, *LINES)
    assert isinstance(feed, ReplayFeed)
    quotes: list[Quote] = []
    await feed.run(quotes.append)
    assert [quote[:3] for quote in quotes] == [
        ("EURUSD", 114_605, 114_643),
        ("EURUSD", 114_608, 114_663),
        ("GBPUSD", 0, 0),  # for the engine to refuse
    ]
    assert min(quote.time for quote in quotes) > 1_600_000_000_000_000_000
    counted = instruments.metrics.counter(catalogue.QUOTES_REFUSED)
    assert counted.child("malformed").value == 1


async def test_the_replay_feed_loops_if_it_is_told_to(tmp_path: Path) -> None:
    feed = recorded(tmp_path, Instruments(), LINES[0], feed_loop=True)
    assert len(await first_quotes(feed, 5)) == 5


async def test_the_replay_feed_reads_the_symbols_that_are_there_when_it_starts(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ticks.csv"
    path.write_text(f"{HEADER}\n{LINES[0]}\n", encoding="utf-8")
    settings = Settings(feed=FeedKind.REPLAY, feed_file=path, feed_speed=None)
    symbols: dict[str, Symbol] = {}
    feed = make_feed(settings, lambda: symbols, Instruments(), Pulse())
    symbols["EURUSD"] = KNOWN["EURUSD"]
    [quote] = await first_quotes(feed, 1)
    assert quote.bid == 114_605


# Upstream


def test_the_websocket_feed_has_heard_nothing_yet() -> None:
    settings = Settings(feed=FeedKind.WEBSOCKET, feed_url="ws://127.0.0.1:9/", feed_connections=3)
    feed = make_feed(settings, lambda: KNOWN, Instruments(), Pulse())
    assert isinstance(feed, WebSocketFeed)
    assert (feed.healthy, feed.last_message_time) == (False, None)
