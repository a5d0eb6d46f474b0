"""The catalogue is well formed, and its closed sets are those of the trade."""

import re

import pytest

from service.domain.order import CancelReason, CloseReason, OrderType
from service.domain.quote import QuoteRefusal
from service.domain.rejection import RejectCode
from telemetry import vocabulary
from telemetry.catalogue import METRICS, Kind, Metric

CONVENTIONAL = (
    "tapewatch_",
    "db_client_",
    "http_server_",
    "process_",
    "python_gc_",
)
FORBIDDEN_LABELS = {"account_id", "order_id", "trace_id", "account", "order"}


def by_name(metric: Metric) -> str:
    return metric.name


@pytest.mark.parametrize("metric", METRICS, ids=by_name)
def test_a_metric_is_well_formed(metric: Metric) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
    assert metric.name.startswith(CONVENTIONAL)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert metric.help.endswith(".")
    assert not {label.name for label in metric.labels} & FORBIDDEN_LABELS
    assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
    assert list(metric.buckets) == sorted(set(metric.buckets))
    if metric.unit in ("seconds", "bytes"):
        assert metric.name.removesuffix("_total").endswith(f"_{metric.unit}")


def test_each_metric_is_declared_once() -> None:
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "name",
    ["tapewatch_websocket_processing_seconds", "db_client_operation_duration_seconds"],
)
def test_the_thresholds_are_edges(name: str) -> None:
    buckets = next(metric.buckets for metric in METRICS if metric.name == name)
    assert {0.1, 0.5} <= set(buckets)


def test_closed_sets_are_the_enums_of_the_trade() -> None:
    assert tuple(QuoteRefusal) == vocabulary.REFUSALS
    assert tuple(OrderType) == vocabulary.ORDER_TYPES
    assert tuple(CloseReason) == vocabulary.CLOSE_REASONS
    assert tuple(CancelReason) == vocabulary.CANCEL_REASONS
    assert tuple(RejectCode) == vocabulary.REJECT_CODES
