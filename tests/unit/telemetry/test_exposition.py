"""The text of `/metrics`: both formats are what the parsers of others accept."""

import math
from collections.abc import Iterator

import pytest
from prometheus_client.metrics_core import Metric as MetricFamily
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text
from prometheus_client.samples import Sample

from telemetry import catalogue
from telemetry.catalogue import METRICS, Kind
from telemetry.exposition import Format, choose_format
from telemetry.metrics import SLICE_LINES, Metrics

TRACE = "0af7651916cd43dd8448eb211c80319c"
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


def read(metrics: Metrics, form: Format) -> dict[str, MetricFamily]:
    text = "".join(metrics.render(form))
    parse = read_openmetrics if form is Format.OPENMETRICS else read_text
    return {family.name: family for family in parse(text)}


def samples(families: dict[str, MetricFamily]) -> Iterator[Sample]:
    return (sample for family in families.values() for sample in family.samples)


@pytest.mark.parametrize("form", Format)
def test_every_declared_metric_is_there_with_its_kind_and_help(form: Format) -> None:
    found = read(Metrics(), form)
    assert len(found) == len(METRICS)
    for metric in METRICS:
        name = metric.name.removesuffix("_total") if metric.kind is Kind.COUNTER else metric.name
        assert (found[name].type, found[name].documentation) == (metric.kind.value, metric.help)


def test_both_formats_say_the_same() -> None:
    metrics = Metrics()
    metrics.counter(catalogue.QUOTES).child().add(3)
    metrics.histogram(catalogue.COMMIT).child().observe(0.004)
    text, openmetrics = (
        {(s.name, *sorted(s.labels.items()), s.value) for s in samples(read(metrics, form))}
        for form in Format
    )
    assert text == openmetrics


def test_an_exemplar_is_of_the_bucket_of_its_value_and_only_in_openmetrics() -> None:
    metrics = Metrics()
    commit = metrics.histogram(catalogue.COMMIT).child()
    commit.observe(0.6, "f" * 32)
    commit.observe(0.7, TRACE)
    commit.observe(0.8)
    exemplars = {
        sample.labels["le"]: sample.exemplar
        for sample in samples(read(metrics, Format.OPENMETRICS))
        if sample.exemplar is not None
    }
    assert set(exemplars) == {"1.0"}
    assert exemplars["1.0"].labels == {"trace_id": TRACE}
    assert exemplars["1.0"].value == 0.7
    assert exemplars["1.0"].timestamp is not None
    assert TRACE not in "".join(metrics.render(Format.TEXT))


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("value", [0, 7, True, 0.1, 1e-9, 1e300, math.inf, -math.inf, math.nan])
def test_any_number_is_read_back(form: Format, value: float) -> None:
    metrics = Metrics()
    metrics.gauge(catalogue.WRITER_QUEUE).child().read = lambda: value
    (sample,) = read(metrics, form)[catalogue.WRITER_QUEUE.name].samples
    assert sample.value == value or (math.isnan(value) and math.isnan(sample.value))


@pytest.mark.parametrize("form", Format)
def test_odd_label_values_are_escaped(form: Format) -> None:
    metrics = Metrics()
    odd = 'a"b\\c\nd{e},f="g" '
    metrics.gauge(catalogue.LAST_QUOTE).child(odd).set(1)
    (sample,) = read(metrics, form)[catalogue.LAST_QUOTE.name].samples
    assert sample.labels == {"symbol": odd}


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", Format.TEXT),
        ("*/*", Format.TEXT),
        ("text/plain", Format.TEXT),
        (PROMETHEUS, Format.OPENMETRICS),
        ("Application/OpenMetrics-Text; Version=1.0.0; charset=utf-8", Format.OPENMETRICS),
        ("application/openmetrics-text", Format.OPENMETRICS),
        ("application/openmetrics-text;version=2.0.0", Format.TEXT),
        ("application/openmetrics-text;q=0", Format.TEXT),
        ("application/openmetrics-text;q=0.0,text/plain", Format.TEXT),
        (";;=,,", Format.TEXT),
    ],
)
def test_openmetrics_is_for_those_who_ask(accept: str, form: Format) -> None:
    assert choose_format(accept) is form


def test_slices_are_short_and_no_child_is_torn_apart() -> None:
    metrics = Metrics()
    for number in range(200):
        metrics.histogram(catalogue.LOOP_S).child(f"loop{number}")
    slices = list(metrics.render())
    assert len(slices) > 4
    longest = max(len(metric.buckets) + 3 for metric in METRICS)
    assert all(each.count("\n") < SLICE_LINES + longest + 3 for each in slices)
    for each in slices:
        sums = each.count("tapewatch_loop_seconds_sum{")
        assert each.count('tapewatch_loop_seconds_bucket{loop="') == sums * 10


def test_what_comes_between_slices_does_no_harm() -> None:
    metrics = Metrics()
    text = ""
    for number, part in enumerate(metrics.render()):
        text += part
        metrics.counter(catalogue.LOOP_RUNS).declare(f"loop{number}")
        metrics.histogram(catalogue.LOOP_S).declare(f"loop{number}")
    assert len(list(read_text(text))) == len(METRICS)
