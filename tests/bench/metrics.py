"""(h) Metrics: what a measurement costs, and what a scrape of /metrics holds the event loop for.

Measured in CPU time of the thread, so that a neighbour's turn does not count: one observation of a
value in a histogram of 12 edges, by ours, by `prometheus_client` and by an instrument of the
OpenTelemetry SDK. Then the OpenMetrics text of exactly 500 and 2,000 series, nine in ten of them
histograms' as in the catalogue, and of as many as the budget allows: whole, against
`prometheus_client` rendering the same, which holds the event loop all the while; and by slices,
between which the event loop gets to other things.

Targets: no slice above 5 ms. The rest is told.
"""

import time
from collections.abc import Callable

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, Gauge, Histogram, disable_created_metrics
from prometheus_client.openmetrics.exposition import generate_latest

from telemetry import catalogue
from telemetry.exposition import Format
from telemetry.metrics import Metrics
from telemetry.thresholds import SCRAPE_STALL_LIMIT_S, SERIES_BUDGET
from tests.bench.report import Report, turns

ROUNDS = 15
OBSERVATIONS = 50_000
VALUES_S = (0.0004, 0.003, 0.02, 0.3)
SERIES = (500, 2_000, SERIES_BUDGET)
HISTOGRAM_SHARE = 0.9
_CHILD_SERIES = len(catalogue.LOOP_S.buckets) + 3


def run(report: Report) -> None:
    """Observe, then render."""
    _observe(report)
    for series in SERIES:
        _render(report, series)


def _observe(report: Report) -> None:
    edges = catalogue.COMMIT.buckets
    stock = Histogram("commit_seconds", "Commits.", buckets=edges, registry=None)
    provider = MeterProvider([InMemoryMetricReader()])
    meter = provider.get_meter("bench")
    contenders: dict[str, Callable[[float], object]] = {
        "ours": Metrics().histogram(catalogue.COMMIT).child().observe,
        "prometheus_client": stock.observe,
        "OpenTelemetry": meter.create_histogram(
            "commit", explicit_bucket_boundaries_advisory=edges
        ).record,
    }
    for _, name in turns(tuple(contenders), ROUNDS):
        observe = contenders[name]
        started = time.thread_time()
        for _ in range(OBSERVATIONS // len(VALUES_S)):
            for value in VALUES_S:
                observe(value)
        report.add(f"{name}: observation", (time.thread_time() - started) / OBSERVATIONS * 1e6)
    provider.shutdown()
    for name in contenders:
        report.figure(f"{name}: observation", report.rounds[f"{name}: observation"], "µs")
    report.ratio("ours / prometheus_client", "ours: observation", "prometheus_client: observation")
    report.ratio("ours / OpenTelemetry", "ours: observation", "OpenTelemetry: observation")


def _render(report: Report, series: int) -> None:
    ours, registry = _ours(series), _stock(series)
    for number, name in turns(("ours", "prometheus_client"), ROUNDS + 1):
        started = time.thread_time()
        if name == "ours":
            longest_ms = _slices(ours)
        else:
            generate_latest(registry)  # type: ignore[no-untyped-call]
        took_ms = (time.thread_time() - started) * 1e3
        if number:  # the first round warms up
            report.add(f"{series} series: {name}", took_ms)
            if name == "ours":
                report.add(f"{series} series: longest slice", longest_ms)
    for name in ("ours", "prometheus_client"):
        report.figure(f"{series} series: {name}", report.rounds[f"{series} series: {name}"], "ms")
    report.ratio(
        f"{series} series: ours : prometheus_client",
        f"{series} series: ours",
        f"{series} series: prometheus_client",
    )
    slices = report.rounds[f"{series} series: longest slice"]
    limit_ms = SCRAPE_STALL_LIMIT_S * 1e3
    report.figure(f"{series} series: longest slice", slices, "ms", at_most=limit_ms)
    report.figure(f"{series} series: worst slice", [max(slices)], "ms", at_most=limit_ms)


def _children(series: int) -> tuple[list[str], list[str]]:
    """Return the labels of the histograms, and of the gauges, that make so many series."""
    histograms = int(series * HISTOGRAM_SHARE) // _CHILD_SERIES
    gauges = series - histograms * _CHILD_SERIES
    return [f"loop{each}" for each in range(histograms)], [f"SYM{each}" for each in range(gauges)]


def _ours(series: int) -> Metrics:
    metrics = Metrics((catalogue.LOOP_S, catalogue.LAST_QUOTE))
    histograms, gauges = _children(series)
    for label in histograms:
        metrics.histogram(catalogue.LOOP_S).declare(label)
    for label in gauges:
        metrics.gauge(catalogue.LAST_QUOTE).declare(label)
    text = "".join(metrics.render(Format.OPENMETRICS))
    assert metrics.series == _series_of(text) == series
    return metrics


def _stock(series: int) -> CollectorRegistry:
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    histograms, gauges = _children(series)
    loops = Histogram(
        "loop_seconds", "Runs.", ["loop"], buckets=catalogue.LOOP_S.buckets, registry=registry
    )
    for label in histograms:
        loops.labels(label)
    quotes = Gauge("last_quote", "Times.", ["symbol"], registry=registry)
    for label in gauges:
        quotes.labels(label)
    text = generate_latest(registry)  # type: ignore[no-untyped-call]
    assert _series_of(text.decode()) == series
    return registry


def _series_of(text: str) -> int:
    return sum(not line.startswith("#") for line in text.splitlines())


def _slices(metrics: Metrics) -> float:
    """Render whole; return the CPU time of the longest slice, ms."""
    longest = 0.0
    started = time.thread_time()
    for _ in metrics.render(Format.OPENMETRICS):
        now = time.thread_time()
        longest = max(longest, now - started)
        started = now
    return longest * 1e3
