"""Mutants of the rules: is there a test in `alerts/tests` that notices each?

A mutant is one rule with one thing changed: a number up or down, a comparison, an operator, an arm
of `and`, `or` or `unless` gone, a label matcher, a window twice or half as long, a label of `by` or
`on` gone, `for` or `keep_firing_for` longer or shorter. It is run by promtool against those tests
that name the rule's alert, those of a recording rule against the alerts that read it, and dies
where one fails. `python -m tests.rule_mutants [NAME...]` runs all, or those of some rules.

Not tried, being the same to any test: `>=` for `>` between a limit and a share, or a number that
increase() extrapolates, which is never exactly the limit. What else is the same is in `EQUIVALENT`.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import yaml
from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    VectorSelector,
)

from tests.monitoring import programs
from tests.rules import RULES, TESTS, Rule, read_rules

SCRAPE_S = 15
PROMTOOL_TIMEOUT_S = 120
TRIAL = "trial.yml"
EVERYTHING = "all.yml"
OPERATORS = {
    **{">": ("<",), "<": (">",), ">=": (">", "<"), "==": ("!=",), "!=": ("==",)},
    **{"and": ("unless", "or"), "unless": ("and",), "or": ("and",)},
    **{"+": ("-",), "-": ("+",), "*": ("/",), "/": ("*",)},
}
SETS = ("and", "or", "unless")
MATCH = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}
OPPOSITE = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

WATCHDOG = "TapewatchWatchdog"
EQUIVALENT: dict[tuple[str, str], str] = {
    (WATCHDOG, "`1` becomes `0.0`"): "a vector of any number fires",
    (WATCHDOG, "`1` becomes `2.0`"): "a vector of any number fires",
    (WATCHDOG, "keep_firing_for: 15s"): "it never ends",
}
"""Mutants that no test can tell from the rule, by rule and change, each with the reason."""


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
            selector = node.vector_selector.prettify()
            yield f"{selector}[{promql_parser.display_duration(node.range * 2)}]"
            yield f"{selector}[{promql_parser.display_duration(node.range / 2)}]"
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


# Judging


def is_noticed(mutant: Mutant) -> bool:
    """Tell whether a test fails on a mutant."""
    with tempfile.TemporaryDirectory(prefix="rule-mutant-") as name:
        folder = Path(name)
        for trial in _trials(mutant.rule.name):
            _write(folder, trial, mutant.rule)
            result = subprocess.run(
                [programs().promtool, "test", "rules", str(folder / TRIAL)],
                capture_output=True,
                text=True,
                timeout=PROMTOOL_TIMEOUT_S,
                env=os.environ | {"GOMAXPROCS": "1"},  # as many run at once as there are cores
            )
            if result.returncode != 0:
                return True
    return False


def survivors(chosen: Sequence[Mutant]) -> Iterator[Mutant]:
    """Yield the mutants that no test notices, except those that are equivalent."""
    tried = [each for each in chosen if (each.rule.name, each.change) not in EQUIVALENT]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for mutant, is_dead in zip(tried, pool.map(is_noticed, tried), strict=True):
            if not is_dead:
                yield mutant


class Trial(NamedTuple):
    """The tests of a file that are about some alerts, and the rules that these need."""

    interval: str
    tests: list[Any]
    needed: frozenset[str]


@cache
def _trials(name: str) -> list[Trial]:
    """Return the trials of an alert, or of what some alerts read, the shortest first."""
    by_name = {rule.name: rule for rule in read_rules()}
    readers = {each.name for each in by_name.values() if each.is_alert and name in each.expression}
    trials = []
    for path in sorted(TESTS.glob("*.yml"), key=lambda path: path.stat().st_size):
        content = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
        told = {
            alert: [test for test in content["tests"] if re.search(rf"\b{alert}\b", repr(test))]
            for alert in readers or {name}
        }
        tests = [test for test in content["tests"] if any(test in each for each in told.values())]
        alerts = {alert for alert, about in told.items() if about}
        recorded = {each for each in by_name if any(each in by_name[a].expression for a in alerts)}
        if tests and path.name != EVERYTHING:
            trials.append(
                Trial(content["evaluation_interval"], tests, frozenset(alerts | recorded))
            )
    return trials


@cache
def _written() -> list[dict[str, Any]]:
    """Return all rules as they are written, what is recorded first."""
    rules = [
        rule
        for path in sorted(RULES.glob("*.yml"))
        for rule in yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)["groups"][0][
            "rules"
        ]
    ]
    return sorted(rules, key=lambda rule: "alert" in rule)


def _write(folder: Path, trial: Trial, mutant: Rule) -> None:
    """Write a trial of a mutant, with the rules it needs and no others."""
    rules = []
    for rule in _written():
        name = rule.get("alert") or rule["record"]
        if name in trial.needed:
            rules.append(_as_written(rule, mutant) if name == mutant.name else rule)
    content = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": trial.interval,
        "tests": trial.tests,
    }
    groups = {"groups": [{"name": "mutant", "rules": rules}]}
    (folder / "rules.yml").write_text(yaml.dump(groups, Dumper=yaml.CSafeDumper), "utf-8")
    (folder / TRIAL).write_text(yaml.dump(content, Dumper=yaml.CSafeDumper), "utf-8")


def _as_written(rule: dict[str, Any], mutant: Rule) -> dict[str, Any]:
    times = {"for": mutant.for_, "keep_firing_for": mutant.keep_firing_for}
    return rule | {"expr": mutant.expression} | {key: text for key, text in times.items() if text}


def main(names: Sequence[str]) -> int:
    """Run the mutants of the named rules, or of all, and list the survivors."""
    rules = [rule for rule in read_rules() if not names or rule.name in names]
    chosen = [mutant for rule in rules for mutant in mutants(rule)]
    alive = 0
    for mutant in survivors(chosen):
        alive += 1
        print(f"survives: {mutant}", flush=True)
    same = sum((mutant.rule.name, mutant.change) in EQUIVALENT for mutant in chosen)
    print(f"{len(chosen)} mutants, {same} of them equivalent: {alive} noticed by no test")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
