"""What a PromQL query asks for, held against the catalogue of metrics."""

import re
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import promql_parser
from promql_parser import Expr, MatchOp, VectorSelector

from telemetry.catalogue import METRICS, Kind

# Of Prometheus and Alertmanager themselves; what scraping adds to every series; what rules record.
_OTHERS = re.compile(r"up|ALERTS|(alertmanager|prometheus|scrape)_\w+|\w+(:\w+){1,}")
_TARGET_LABELS = frozenset({"job", "instance", "__name__"})


class Selector(NamedTuple):
    """A selector of series: its metric, and its matchers by label."""

    metric: str
    matchers: Mapping[str, tuple[MatchOp, str]]


def selectors(query: str) -> list[Selector]:
    """Return all selectors of a query, in order. Raises ValueError: it cannot be parsed."""
    found: list[Selector] = []

    def take(expression: Expr) -> bool:
        if isinstance(expression, VectorSelector):
            matchers = {m.name: (m.op, m.value) for m in expression.matchers.matchers}
            metric = expression.name or matchers.get("__name__", (None, ""))[1]
            found.append(Selector(metric, matchers))
        return True

    promql_parser.walk(promql_parser.parse(query), take)
    return found


def complaints(query: str) -> list[str]:
    """Return what the query asks for that the service does not expose."""
    said = []
    for metric, matchers in selectors(query):
        labels = _labels().get(metric)
        if labels is None:
            if not _OTHERS.fullmatch(metric):
                said.append(f"there is no metric {metric}")
            continue
        for name, (op, value) in matchers.items():
            if name in _TARGET_LABELS:
                continue
            if name not in labels:
                said.append(f"{metric} has no label {name}")
                continue
            values = labels[name]
            if values is not None and op in (MatchOp.Equal, MatchOp.NotEqual):
                if value and value not in values:
                    said.append(f"{metric} has no {name}={value}")
            elif values is not None and not any(re.fullmatch(value, each) for each in values):
                said.append(f"{metric} has no {name} like {value}")
    return said


@cache
def _labels() -> Mapping[str, Mapping[str, tuple[str, ...] | None]]:
    """Return the labels of every series, and the closed values of each label."""
    known: dict[str, dict[str, tuple[str, ...] | None]] = {}
    for metric in METRICS:
        labels = {label.name: label.values for label in metric.labels}
        if metric.kind is not Kind.HISTOGRAM:
            known[metric.name] = labels
            continue
        edges = (*(repr(float(edge)) for edge in metric.buckets), "+Inf")
        known[f"{metric.name}_bucket"] = labels | {"le": edges}
        if metric.buckets[0] >= 0:
            known[f"{metric.name}_sum"] = known[f"{metric.name}_count"] = labels
    return known
