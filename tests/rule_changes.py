"""What can be changed in a rule: all its mutants, each with one thing changed.

Not made, being the same to any test: `>=` for `>` between a limit and a share, or a number that
increase() extrapolates, which is never exactly the limit.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import promql_parser
from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    VectorSelector,
)

from tests.rules import Rule

SCRAPE_S = 15
OPERATORS = {
    **{">": ("<",), "<": (">",), ">=": (">", "<"), "==": ("!=",), "!=": ("==",)},
    **{"and": ("unless", "or"), "unless": ("and",), "or": ("and",)},
    **{"+": ("-",), "-": ("+",), "*": ("/",), "/": ("*",)},
}
SETS = ("and", "or", "unless")
MATCH = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}
OPPOSITE = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Mutant(NamedTuple):
    """A rule, and what was changed."""

    rule: Rule
    change: str

    def __str__(self) -> str:
        return f"{self.rule.name}: {self.change}"


def mutants(rule: Rule) -> Iterator[Mutant]:
    """Yield every mutant of a rule."""
    expression = promql_parser.parse(rule.expression)
    nodes: list[Expr] = []
    promql_parser.transform(expression, None, nodes.append)
    for index, node in enumerate(nodes):
        for text in _variants(node):
            change = f"`{_line(node.prettify())}` becomes `{_line(text)}`"
            yield Mutant(rule._replace(expression=_replaced(expression, index, text)), change)
    if rule.is_alert:
        for seconds in _around(rule.for_):
            yield Mutant(rule._replace(for_=f"{seconds}s"), f"for: {seconds}s")
        for seconds in _around(rule.keep_firing_for):
            changed = rule._replace(keep_firing_for=f"{seconds}s")
            yield Mutant(changed, f"keep_firing_for: {seconds}s")


def _variants(node: Expr) -> Iterator[str]:
    match node:
        case NumberLiteral():
            yield from map(repr, _numbers(node.val))
        case BinaryExpr():
            yield from _operations(node)
        case AggregateExpr():
            yield from _aggregations(node)
        case VectorSelector():
            yield from _selections(node)
        case MatrixSelector():
            selector, *offset = re.split(r"(?= offset )", node.vector_selector.prettify())
            for window in (node.range * 2, node.range / 2):
                yield "".join((selector, f"[{promql_parser.display_duration(window)}]", *offset))
        case Call() if node.func.name == "round":
            yield node.args[0].prettify()


def _numbers(value: float) -> tuple[float, float]:
    if value < 10 and value == int(value):
        return value - 1, value + 1
    return value * 0.9, value * 1.1


def _operations(node: BinaryExpr) -> Iterator[str]:
    left, right, operator = node.lhs.prettify(), node.rhs.prettify(), str(node.op)
    modifiers = _modifiers(node)
    others = OPERATORS[operator]
    if operator == ">" and not _is_never_equal(node):
        others += (">=",)
    for other in others:
        yield f"({left}) {other} {modifiers[0]} ({right})"
    for fewer in modifiers[1:]:
        yield f"({left}) {operator} {fewer} ({right})"
    if operator in SETS:
        yield left
        if operator == "or":
            yield right


def _is_never_equal(node: BinaryExpr) -> bool:
    """Tell whether what is computed and a limit above 0 are never exactly the same."""
    left = node.lhs.prettify()
    is_computed = (
        "increase(" in left or "rate(" in left or "burnrate" in left or ":increase" in left
    )
    return is_computed and not left.startswith("round") and node.rhs.prettify() != "0"


def _modifiers(node: BinaryExpr) -> list[str]:
    """Return how the operands match, first as it is, then with a label less."""
    modifier = node.modifier
    if modifier is None or modifier.matching is None:
        return [""]
    group = "" if modifier.group_labels is None else " group_left ()"
    labels = modifier.matching.labels
    return [f"on ({', '.join(each)}){group}" for each in (labels, *_without_one(labels))]


def _aggregations(node: AggregateExpr) -> Iterator[str]:
    assert node.modifier is not None
    for labels in _without_one(node.modifier.labels):
        yield f"{node.op} by ({', '.join(labels)}) ({node.expr.prettify()})"


def _selections(node: VectorSelector) -> Iterator[str]:
    texts = [f'{m.name}{MATCH[str(m.op)]}"{m.value}"' for m in node.matchers.matchers]
    for index, matcher in enumerate(node.matchers.matchers):
        operator = MATCH[str(matcher.op)]
        others = [None, f'{matcher.name}{OPPOSITE[operator]}"{matcher.value}"']
        values = matcher.value.split("|")
        if len(values) > 1:
            others += [f'{matcher.name}{operator}"{"|".join(v)}"' for v in _without_one(values)]
        for other in others:
            changed = [*texts[:index], *([] if other is None else [other]), *texts[index + 1 :]]
            yield f"{node.name}{{{','.join(changed)}}}"


def _without_one(labels: Sequence[str]) -> list[list[str]]:
    return [[*labels[:index], *labels[index + 1 :]] for index in range(len(labels))]


def _around(duration: str) -> tuple[int, ...]:
    """Return a duration a scrape or a fifth shorter and longer, in seconds."""
    if not duration:
        return (SCRAPE_S,)
    seconds = sum(int(n) * UNITS[unit] for n, unit in re.findall(r"(\d+)([smhd])", duration))
    step = max(SCRAPE_S, seconds // 5 if seconds >= 900 else 0)
    return seconds - step, seconds + step


def _replaced(expression: Expr, index: int, text: str) -> str:
    """Return an expression with its node of that number, children first, replaced."""
    seen = -1

    def replace(node: Expr) -> Expr | None:
        nonlocal seen
        seen += 1
        return promql_parser.parse(text) if seen == index else None

    return promql_parser.transform(expression, None, replace).prettify()


def _line(text: str) -> str:
    return " ".join(text.split())
