"""Mutants of the rules: is there a test in `alerts/tests` that notices each?

A mutant is one rule with one thing changed: a number up or down, a comparison, an operator, an arm
of `and`, `or` or `unless` gone, a label matcher, a window twice or half as long, a label of `by` or
`on` gone, `for` or `keep_firing_for` longer or shorter. It is run by promtool against those tests
that name the rule's alert, those of a recording rule against the alerts that read it, and dies
where one fails. `python -m tests.rule_mutants [NAME...]` runs all, or those of some rules.
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

import yaml

from tests.monitoring import programs
from tests.rule_changes import Mutant, mutants
from tests.rules import RULES, TESTS, Rule, read_rules

PROMTOOL_TIMEOUT_S = 120
TRIAL = "trial.yml"
EVERYTHING = "all.yml"

WATCHDOG = "TapewatchWatchdog"
EQUIVALENT: dict[tuple[str, str], str] = {
    (WATCHDOG, "`1` becomes `0.0`"): "a vector of any number fires",
    (WATCHDOG, "`1` becomes `2.0`"): "a vector of any number fires",
    (WATCHDOG, "keep_firing_for: 15s"): "it never ends",
}
"""Mutants that no test can tell from the rule, by rule and change, each with the reason."""


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
