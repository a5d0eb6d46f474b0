"""End to end: which rate counts as reached, and what is told of it."""

import pytest

from service.instruments import Instruments
from service.load.figures import Figures, Look, figures_of
from service.load.stages import Scrape
from service.load.tally import Tally
from telemetry import catalogue
from tests.bench.end_to_end import conclude
from tests.bench.loaded_service import POSTGRES, VALKEY, Found
from tests.bench.report import Report

RATE = 10_000


def scrape(instruments: Instruments) -> Scrape:
    return Scrape("".join(instruments.metrics.render()))


def figures(*, commit_s: float, push_ms: float, age_s: float, sent: int) -> Figures:
    instruments, tally = Instruments(), Tally(ticks=sent)
    before = Look(scrape(instruments), 0.0, 0.0)
    instruments.metrics.histogram(catalogue.TICK_TO_COMMIT).child().observe(commit_s)
    instruments.quote_age(age_s)
    for each in (tally.quotes, tally.fills, tally.events, tally.answered):
        each.record(int(push_ms * 1e6))
    return figures_of("total", tally, before, Look(scrape(instruments), 1.0, 1.0), 0, {})


def report_of(found: Figures) -> dict[str, tuple[float, str | None]]:
    report = Report()
    for name in ("bare commit of 10 orders, ms", "bare Redis pipeline of 10 orders, ms"):
        report.add(name, 1.0)
    report.add("bare socket, messages/s of CPU time", 1.0)
    conclude(report, {RATE: Found([found], found, {POSTGRES: 0.5, VALKEY: 0.1})})
    assert len(report.plots) == 3
    return {figure.name: (figure.value, figure.verdict) for figure in report.figures}


def test_a_rate_is_reached_where_all_holds() -> None:
    told = report_of(figures(commit_s=0.004, push_ms=30, age_s=0.001, sent=RATE))
    assert told["highest rate within the targets"] == (float(RATE), "met")
    assert told["10,000 ticks/s: tick to commit, p99"][1] == "met"
    assert told["10,000 ticks/s: tick to fill pushed, p99"] == (30.0, "met")
    assert told["10,000 ticks/s: cores taken by PostgreSQL"] == (0.5, None)


@pytest.mark.parametrize(
    "found",
    [
        figures(commit_s=0.02, push_ms=30, age_s=0.001, sent=RATE),
        figures(commit_s=0.004, push_ms=200, age_s=0.001, sent=RATE),
        figures(commit_s=0.004, push_ms=30, age_s=0.5, sent=RATE),
        figures(commit_s=0.004, push_ms=30, age_s=0.001, sent=9_000),
    ],
)
def test_a_rate_is_not_reached_where_anything_fails(found: Figures) -> None:
    assert report_of(found)["highest rate within the targets"] == (0.0, "missed")
