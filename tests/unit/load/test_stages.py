"""Stages: what a histogram of the service says of the time between two scrapes."""

import pytest

from service.instruments import Instruments
from service.load.stages import QUOTE_AGE, STAGES, TICK_TO_COMMIT, Scrape
from telemetry import catalogue


def scrape(instruments: Instruments) -> Scrape:
    return Scrape("".join(instruments.metrics.render()))


def test_only_what_came_meanwhile_counts() -> None:
    instruments = Instruments()
    histogram = instruments.metrics.histogram(catalogue.TICK_TO_COMMIT).child()
    histogram.observe(0.9)
    before = scrape(instruments)
    for value in (*[0.004] * 98, 0.03, 0.04):
        histogram.observe(value)
    stage = scrape(instruments).since(before)[TICK_TO_COMMIT]
    assert stage.count == 100
    assert stage.within_10_ms == pytest.approx(0.98)
    assert stage.p50_ms == pytest.approx(2.5 + 2.5 * 50 / 98)
    assert stage.p99_ms == pytest.approx(25 + 25 / 2)


def test_a_stage_without_any_has_no_figures() -> None:
    nothing = scrape(Instruments())
    for stage in nothing.since(nothing).values():
        assert (stage.count, stage.p50_ms, stage.within_10_ms) == (0, None, None)


def test_what_is_beyond_the_last_edge_counts_as_that() -> None:
    instruments = Instruments()
    before = scrape(instruments)
    instruments.metrics.histogram(catalogue.QUOTE_AGE).child().observe(1_000.0)
    stage = scrape(instruments).since(before)[QUOTE_AGE]
    assert stage.p99_ms == catalogue.QUOTE_AGE.buckets[-1] * 1e3


def test_labels_are_summed() -> None:
    instruments = Instruments()
    before = scrape(instruments)
    for reason in ("stale", "crossed"):
        instruments.quote_refused(reason)
    command = instruments.metrics.histogram(catalogue.COMMAND_S)
    for name in ("place", "cancel"):
        command.child(name).observe(0.007)
    after = scrape(instruments)
    assert after.counted(catalogue.QUOTES_REFUSED, before) == 2
    assert after.since(before)["command"].count == 2


def test_the_limit_of_10_ms_is_the_edge_of_a_bucket() -> None:
    for name in (TICK_TO_COMMIT, QUOTE_AGE):
        assert 0.01 in STAGES[name].buckets
