"""(h) Metrics: what a measurement costs, and what a scrape of /metrics holds the event loop for.

Measured in CPU time of the thread, so that a neighbour's turn does not count: one observation of a
value in a histogram of 12 edges, by ours, by `prometheus_client` and by an instrument of the
OpenTelemetry SDK; then the text of 500 and of 2,000 series, whole, and the longest slice between
which the event loop gets to other things, against `prometheus_client` rendering as many.

Targets: no slice above 5 ms. The rest is told.
"""

import time
from collections.abc import Callable

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from telemetry import catalogue
from telemetry.exposition import Format
from telemetry.metrics import Metrics
from telemetry.thresholds import SCRAPE_STALL_LIMIT_S
from tests.bench.report import Report, turns

ROUNDS = 15
OBSERVATIONS = 50_000
VALUES_S = (0.0004, 0.003, 0.02, 0.3)
SERIES = (500, 2_000)
_LOOP_SERIES = len(catalogue.LOOP_S.buckets) + 3


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
    children = [f"loop{number}" for number in range(series // _LOOP_SERIES)]
    ours = Metrics()
    registry = CollectorRegistry()
    stock = Histogram(
        "loop_seconds", "Runs.", ["loop"], buckets=catalogue.LOOP_S.buckets, registry=registry
    )
    for child in children:
        stock.labels(child)
    # Ours has the whole catalogue too, which is more than the smaller number by itself.
    list(ours.render())
    for child in children[: max(0, series - ours.series) // _LOOP_SERIES]:
        ours.histogram(catalogue.LOOP_S).declare(child)
    for number, name in turns(("ours", "prometheus_client"), ROUNDS + 1):
        started = time.thread_time()
        if name == "ours":
            longest_ms = _slices(ours)
        else:
            generate_latest(registry)
        took_ms = (time.thread_time() - started) * 1e3
        if number:  # the first round warms up
            report.add(f"{series} series: {name}", took_ms)
            if name == "ours":
                report.add(f"{series} series: longest slice", longest_ms)
    for name in ("ours", "prometheus_client"):
        report.figure(f"{series} series: {name}", report.rounds[f"{series} series: {name}"], "ms")
    slices = report.rounds[f"{series} series: longest slice"]
    limit_ms = SCRAPE_STALL_LIMIT_S * 1e3
    report.figure(f"{series} series: longest slice", slices, "ms", at_most=limit_ms)
    report.figure(f"{series} series: worst slice", [max(slices)], "ms", at_most=limit_ms)


def _slices(metrics: Metrics) -> float:
    """Render whole; return the CPU time of the longest slice, ms."""
    longest = 0.0
    started = time.thread_time()
    for _ in metrics.render(Format.OPENMETRICS):
        now = time.thread_time()
        longest = max(longest, now - started)
        started = now
    return longest * 1e3
