"""Figures: what two looks and a tally say, and how it is printed."""

import msgspec
import pytest

from service.instruments import Instruments
from service.load.figures import (
    ANSWERED,
    HEADINGS,
    Figures,
    Look,
    figures_of,
    interval_line,
    row,
    summary,
)
from service.load.stages import TICK_TO_COMMIT, Scrape
from service.load.tally import Tallies, Tally
from telemetry import catalogue


def scrape(instruments: Instruments) -> Scrape:
    return Scrape("".join(instruments.metrics.render()))


def counted() -> Tally:
    tally = Tally(ticks=1_000, ticks_held_back=7, dips=2, fired=30, commands=12)
    tally.answers.update({"OK": 10, "RATE_LIMITED": 2})
    for number in range(12):
        tally.answered.record(number * 1_000_000)
    return tally


@pytest.fixture
def figures() -> Figures:
    instruments = Instruments()
    before = Look(scrape(instruments), 5.0, 1_000.0)
    instruments.metrics.histogram(catalogue.TICK_TO_COMMIT).child().observe(0.004)
    after = Look(scrape(instruments), 6.0, 1_002.0)
    return figures_of("total", counted(), before, after, 20, {"too slow": 1})


def test_they_are_of_the_time_between_two_looks(figures: Figures) -> None:
    assert figures.seconds == 2
    assert figures.generator_cpu == 0.5
    assert figures.refused == 2
    assert figures.latencies[ANSWERED].count == 12
    assert figures.service[TICK_TO_COMMIT].within_10_ms == 1
    assert msgspec.json.decode(msgspec.json.encode(figures), type=Figures) == figures


def test_an_interval_is_a_line_under_the_headings(figures: Figures) -> None:
    line, headings = interval_line(figures, 990.0), row(HEADINGS)
    assert len(line) == len(headings)
    assert line.split()[:5] == ["12", "500", "6", "2", "11"]


def test_the_summary_tells_all_that_was_lost(figures: Figures) -> None:
    text = "\n".join(summary(figures))
    assert "2 s: 1,000 ticks (500/s), 7 held back," in text
    assert "12 commands (6/s): OK 10, RATE_LIMITED 2" in text
    assert "20 sockets (too slow 1): none" in text
    assert "cores: service 0.00, this generator 0.50" in text
    assert "service: tick to commit" in text


def test_intervals_add_up_to_the_total() -> None:
    tallies = Tallies()
    tallies.now.ticks = 99
    tallies.begin()
    for ticks in (3, 4):
        tallies.now.ticks += ticks
        tallies.now.messages["quotes"] += 1
        tallies.now.quotes.record(ticks)
        assert tallies.turn().ticks == ticks
    assert (tallies.total.ticks, tallies.total.messages["quotes"]) == (7, 2)
    assert tallies.total.quotes.count == 2
