"""Nothing that is declared is unused, and nothing that is asked for is undeclared."""

from collections.abc import Iterator

import pytest

from dashboards import outside
from telemetry.catalogue import METRICS, Kind, Metric
from tests.asked import panel_queries, runbook_queries
from tests.dashboard_linter import expanded
from tests.promql import selectors
from tests.rules import read_rules

SUFFIXES = ("_bucket", "_count", "_sum")


def _asked() -> Iterator[str]:
    """Yield what panels, rules and runbooks ask for."""
    for each in (*panel_queries(), *runbook_queries()):
        yield expanded(each.query)
    for rule in read_rules():
        yield rule.expression


@pytest.fixture(scope="module")
def asked_for() -> set[str]:
    return {selector.metric for query in _asked() for selector in selectors(query)}


def _series_of(metric: Metric) -> set[str]:
    if metric.kind is Kind.HISTOGRAM:
        return {f"{metric.name}{suffix}" for suffix in SUFFIXES}
    return {metric.name}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_declared_metric_is_looked_at(metric: Metric, asked_for: set[str]) -> None:
    assert _series_of(metric) & asked_for


def test_what_is_of_others_is_known_and_what_rules_record_is_recorded() -> None:
    declared = {name for metric in METRICS for name in _series_of(metric)}
    panels = {
        selector.metric for each in panel_queries() for selector in selectors(expanded(each.query))
    }
    recorded = {rule.name for rule in read_rules() if not rule.is_alert}
    assert panels - declared <= {metric.name for metric in outside.METRICS}
    assert {metric.name for metric in outside.BURN_RATES.values()} <= recorded
