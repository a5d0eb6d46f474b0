"""A panel's unit is that of what it asks for, worked out from the query and the metrics in it."""

from typing import Any

import promql_parser
import pytest
from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    ParenExpr,
    VectorSelector,
)

from tests.dashboard_linter import expanded, with_data
from tests.dashboards import read_dashboards

# What a query gives, and the units of Grafana's that say so.
UNITS = {
    "seconds": {"s"},
    "bytes": {"bytes"},
    "bytes per second": {"Bps"},
    "per second": {"cps", "ops", "reqps"},
    "per minute": {"cpm"},
    "share": {"percentunit", "short"},
    "number": {"short", "none", "bool_yes_no"},
}
COMPARISONS = frozenset({">", "<", ">=", "<=", "==", "!="})


def given(query: Expr) -> str:
    """Return what a query gives: a key of `UNITS`."""
    match query:
        case ParenExpr() | AggregateExpr():
            return given(query.expr)
        case NumberLiteral():
            return "number"
        case VectorSelector():
            return _of_series(query)
        case Call():
            return _of_call(query)
        case BinaryExpr():
            return _of_two(str(query.op), query.lhs, query.rhs)
    raise AssertionError(f"what is {query.prettify()}?")


def _of_series(series: VectorSelector) -> str:
    name = series.name or ""
    # A bucket of its own counts; all of them are a distribution of what is measured.
    if name.endswith("_count") or any(each.name == "le" for each in series.matchers.matchers):
        return "number"
    stem = name.removesuffix("_total").removesuffix("_bucket").removesuffix("_sum")
    if stem.endswith("_seconds"):
        return "seconds"
    return "bytes" if stem.endswith("_bytes") else "number"


def _of_call(call: Call) -> str:
    match call.func.name:
        case "histogram_quantile":
            measured_in = given(call.args[1])
            return "number" if measured_in == "per second" else measured_in
        case "timestamp" | "time":
            return "seconds"
        case "clamp_min":
            return given(call.args[0])
        case "rate" | "increase":
            (argument,) = call.args
            assert isinstance(argument, MatrixSelector)
            counted = _of_series(argument.vector_selector)
            measured = (argument.vector_selector.name or "").endswith(("_bucket", "_sum"))
            if call.func.name == "increase" or (measured and counted != "number"):
                return counted
            per_second = {"number": "per second", "bytes": "bytes per second", "seconds": "share"}
            return per_second[counted]
    raise AssertionError(f"what does {call.func.name} give?")


def _of_two(op: str, left: Expr, right: Expr) -> str:
    first, second = given(left), given(right)
    if op in COMPARISONS or op in ("and", "+"):
        return first
    if op == "-":
        return second if first == "number" else first
    if op == "*":
        return "per minute" if (first, second) == ("number", "per second") else second
    assert op == "/", op
    if first == "seconds" and second in ("number", "per second"):
        return "seconds"
    if isinstance(right, NumberLiteral):
        return first
    return "number" if (first, second) == ("seconds", "seconds") else "share"


def _parse(query: str) -> Expr:
    return promql_parser.parse(expanded(query))


PANELS = [
    pytest.param(panel, id=f"{uid}: {panel['title']}")
    for uid, dashboard in read_dashboards().items()
    for panel in with_data(dashboard)
]


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_has_the_unit_of_its_queries(panel: dict[str, Any]) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    columns = {
        each["matcher"]["options"]: properties["value"]
        for each in panel["fieldConfig"]["overrides"]
        for properties in each["properties"]
        if properties["id"] == "unit"
    }
    units = list(columns.values()) or [unit] * len(panel["targets"])
    for target, shown in zip(panel["targets"], units, strict=True):
        found = given(_parse(target["expr"]))
        assert shown in UNITS[found], (target["expr"], found)
