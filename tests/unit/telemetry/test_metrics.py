"""Metrics: plain numbers become the samples that scrapers expect."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from telemetry import catalogue
from telemetry.catalogue import Metric
from telemetry.metrics import Metrics


def samples(metrics: Metrics) -> dict[str, float]:
    """Return every sample of an exposition by its name and labels."""
    text = "".join(metrics.render())
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_a_child_with_closed_labels_exists_at_zero_before_anything_happened() -> None:
    found = samples(Metrics())
    assert found["tapewatch_quotes_total{}"] == 0
    for result in ("hit", "miss", "error"):
        key = f"tapewatch_cache_requests_total{{cache=static_orders,result={result}}}"
        assert found[key] == 0


def test_an_open_label_gets_its_children_by_declaration() -> None:
    metrics = Metrics()
    key = "tapewatch_loop_runs_total{loop=sweep}"
    assert key not in samples(metrics)
    metrics.counter(catalogue.LOOP_RUNS).declare("sweep")
    assert samples(metrics)[key] == 0


def test_a_value_outside_a_closed_set_is_an_error_that_says_what_to_do() -> None:
    refused = Metrics().counter(catalogue.QUOTES_REFUSED)
    with pytest.raises(ValueError, match=r"reason may be .*crossed.*, not whim: enter it in"):
        refused.child("whim")
    with pytest.raises(ValueError, match="has 1 labels"):
        refused.child("crossed", "stale")


@pytest.mark.parametrize(("seconds", "at_most"), [(0.0999, 1), (0.1, 1), (0.1001, 0)])
def test_a_threshold_is_an_exact_edge(seconds: float, at_most: int) -> None:
    metrics = Metrics()
    metrics.histogram(catalogue.TICK_TO_COMMIT).child().observe(seconds)
    found = samples(metrics)
    assert found["tapewatch_tick_to_commit_seconds_bucket{le=0.1}"] == at_most
    assert found["tapewatch_tick_to_commit_seconds_bucket{le=+Inf}"] == 1
    assert found["tapewatch_tick_to_commit_seconds_count{}"] == 1
    assert found["tapewatch_tick_to_commit_seconds_sum{}"] == pytest.approx(seconds)


def test_buckets_are_cumulative() -> None:
    metrics = Metrics()
    size = metrics.histogram(catalogue.COMMIT_SIZE).child()
    for decisions in (1, 2, 3, 5000):
        size.observe(decisions)
    found = samples(metrics)
    counts = [found[f"tapewatch_commit_decisions_bucket{{le={le}}}"] for le in ("1.0", "2.0")]
    assert counts == [1, 2]
    assert found["tapewatch_commit_decisions_bucket{le=1000.0}"] == 3
    assert size.count == 4


def test_a_histogram_with_negative_edges_has_no_sum_and_no_count() -> None:
    metrics = Metrics()
    metrics.histogram(catalogue.SLIPPAGE).child("BUY_LIMIT").observe(-7)
    found = samples(metrics)
    assert found["tapewatch_slippage_points_bucket{le=-5.0,trigger=BUY_LIMIT}"] == 1
    assert found["tapewatch_slippage_points_bucket{le=-10.0,trigger=BUY_LIMIT}"] == 0
    others = [key for key in found if key.startswith("tapewatch_slippage_points_")]
    assert all(key.startswith("tapewatch_slippage_points_bucket") for key in others)


def test_a_gauge_may_be_asked_for_at_scrape_time() -> None:
    metrics = Metrics()
    queue = [1, 2]
    metrics.gauge(catalogue.WRITER_QUEUE).child().read = lambda: len(queue)
    metrics.read_table(catalogue.LAST_QUOTE, lambda: {"EURUSD": float(len(queue))})
    queue.append(3)
    found = samples(metrics)
    assert found["tapewatch_writer_queue_decisions{}"] == 3
    assert found["tapewatch_last_quote_timestamp_seconds{symbol=EURUSD}"] == 3


def test_of_a_table_only_what_it_has_now_is_exported() -> None:
    metrics, table = Metrics(), {"EURUSD": 1.0, "XAUUSD": 2.0}
    metrics.read_table(catalogue.LAST_QUOTE, lambda: table)
    assert len(_of(samples(metrics), catalogue.LAST_QUOTE)) == 2
    del table["XAUUSD"]
    assert _of(samples(metrics), catalogue.LAST_QUOTE) == {
        "tapewatch_last_quote_timestamp_seconds{symbol=EURUSD}": 1.0
    }
    table.clear()
    assert _of(samples(metrics), catalogue.LAST_QUOTE) == {}


def _of(found: dict[str, float], metric: Metric) -> dict[str, float]:
    return {name: value for name, value in found.items() if name.startswith(metric.name)}


def test_two_sets_of_metrics_share_nothing() -> None:
    first, second = Metrics(), Metrics()
    first.counter(catalogue.QUOTES).child().add()
    assert samples(second)["tapewatch_quotes_total{}"] == 0
