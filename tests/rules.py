"""The rules as the tests read them: one file a subject, each with a test file of the same name."""

from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "alerts" / "rules"
TESTS = ROOT / "alerts" / "tests"


class Rule(NamedTuple):
    """An alert or, with `severity` "", a recording rule; times as they are written, "" for none."""

    file: str
    name: str
    expression: str
    for_: str
    keep_firing_for: str
    severity: str
    annotations: dict[str, str]

    @property
    def is_alert(self) -> bool:
        return bool(self.severity)

    @property
    def runbook(self) -> str:
        return f"{self.name}.md"


def read_rules() -> list[Rule]:
    """Return all rules, file by file."""
    return [rule for path in sorted(RULES.glob("*.yml")) for rule in _rules_in(path)]


def read_alerts() -> list[Rule]:
    """Return the rules that are alerts."""
    return [rule for rule in read_rules() if rule.is_alert]


def _rules_in(path: Path) -> list[Rule]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [
        Rule(
            file=path.name,
            name=rule.get("alert") or rule["record"],
            expression=rule["expr"],
            for_=rule.get("for", ""),
            keep_firing_for=rule.get("keep_firing_for", ""),
            severity=rule.get("labels", {}).get("severity", ""),
            annotations=rule.get("annotations", {}),
        )
        for group in content["groups"]
        for rule in group["rules"]
    ]
