"""Every query that is shipped: of panels, variables, annotations, runbooks and rules.

Grafana's macros and variables are replaced here and nowhere else. An alert's expression is empty
while all is well, so it is taken apart: what is compared, joined or counted must be there.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import promql_parser
import yaml
from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    NumberLiteral,
    ParenExpr,
    SubqueryExpr,
    UnaryExpr,
)

from tests.runbooks import ROOT, runbooks

DASHBOARDS = ROOT / "dashboards" / "generated"
RULES = ROOT / "alerts" / "rules"
_LABEL_VALUES = re.compile(r"label_values\((?:(?P<series>.+),\s*)?(?P<label>\w+)\)", re.DOTALL)
_MACRO = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")
_FILTERS = frozenset({"and", "or", "unless", "==", "!=", ">", "<", ">=", "<="})


@dataclass(frozen=True, slots=True)
class Asked:
    """A query and where it stands.

    Attributes:
        where: for people, and the name of its test.
        may_be_empty: it says what it means when there is nothing.
        is_range: it is drawn over time.
    """

    where: str
    query: str
    may_be_empty: bool = False
    is_range: bool = False

    def __str__(self) -> str:
        return self.where

    def with_macros(self, values: Mapping[str, str]) -> str:
        """Return the query as Grafana would send it. Raises KeyError: an unknown variable."""
        return _MACRO.sub(lambda found: values[found[1] or found[2]], self.query)


def panel_queries() -> list[Asked]:
    """Return all targets of all panels, those of collapsed rows included."""
    return [
        Asked(
            f"{board['uid']}: {panel['title']}: {target['refId']}",
            target["expr"],
            may_be_empty="noValue" in panel.get("fieldConfig", {}).get("defaults", {}),
            is_range=not target.get("instant", False),
        )
        for board in _boards()
        for panel in _panels(board["panels"])
        for target in panel.get("targets", ())
    ]


def annotation_queries() -> list[Asked]:
    """Return the queries of annotations: what has not happened is not marked."""
    return [
        Asked(
            f"{board['uid']}: annotation {each['name']}",
            each["expr"],
            may_be_empty=True,
            is_range=True,
        )
        for board in _boards()
        for each in board["annotations"]["list"]
        if "expr" in each
    ]


def variable_queries() -> list[tuple[str, str | None, str]]:
    """Return where a variable is, the series it takes its values from, and the label."""
    found = []
    for board in _boards():
        for variable in board["templating"]["list"]:
            if variable["type"] != "query":
                continue
            query = variable["query"]
            text = query if isinstance(query, str) else query["query"]
            match = _LABEL_VALUES.fullmatch(text)
            assert match is not None, text
            found.append((f"{board['uid']}: ${variable['name']}", match["series"], match["label"]))
    return found


def runbook_queries() -> list[Asked]:
    return [
        Asked(f"{runbook.name} {number}", fence.text, may_be_empty=fence.note != "")
        for runbook in runbooks()
        for number, fence in enumerate(runbook.fences("promql"), 1)
    ]


def rule_queries() -> list[Asked]:
    """Return what recording rules record, and the parts of what alerts compare.

    What is looked up as of long ago may be empty: no test is that old.
    """
    return [
        Asked(f"{name} {number}", part, may_be_empty=" offset " in part)
        for name, expression in _rules()
        for number, part in enumerate(_parts_of(expression), 1)
    ]


def recorded() -> list[str]:
    """Return the names of the series that rules record."""
    return [rule["record"] for rule in _all_rules() if "record" in rule]


def _rules() -> Iterator[tuple[str, str]]:
    for rule in _all_rules():
        yield rule.get("alert") or rule["record"], rule["expr"]


def _all_rules() -> Iterator[dict[str, Any]]:
    for path in sorted(RULES.glob("*.yml")):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            yield from group["rules"]


def _boards() -> Iterator[dict[str, Any]]:
    for path in sorted(DASHBOARDS.glob("*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def _panels(panels: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for panel in panels:
        yield panel
        yield from _panels(panel.get("panels", []))


def _parts_of(expression: str) -> list[str]:
    """Return the parts of an expression that have a value whether it is true or not."""
    parts: dict[str, None] = {}
    _take_apart(promql_parser.parse(expression), parts)
    return list(parts)


def _take_apart(expression: Expr, parts: dict[str, None]) -> None:
    if not _filters(expression):
        if not _is_constant(expression):
            parts[expression.prettify()] = None
        return
    for child in _children(expression):
        _take_apart(child, parts)


def _filters(expression: Expr) -> bool:
    """Tell whether an expression may leave series out."""
    if isinstance(expression, BinaryExpr) and str(expression.op) in _FILTERS:
        return True
    if isinstance(expression, Call) and expression.func.name.startswith("absent"):
        return True
    return any(_filters(child) for child in _children(expression))


def _is_constant(expression: Expr) -> bool:
    if isinstance(expression, NumberLiteral):
        return True
    children = _children(expression)
    return bool(children) and all(_is_constant(child) for child in children)


def _children(expression: Expr) -> list[Expr]:
    match expression:
        case BinaryExpr():
            return [expression.lhs, expression.rhs]
        case Call():
            return list(expression.args)
        case AggregateExpr() | ParenExpr() | SubqueryExpr() | UnaryExpr():
            return [expression.expr]
    return []
