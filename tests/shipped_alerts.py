"""The alerts that ship, as their rules tell of them."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

RULES = Path(__file__).resolve().parents[1] / "alerts" / "rules"
_LABEL = re.compile(r"\$labels\.(\w+)")


class ShippedAlert(NamedTuple):
    """An alert, and the labels that its annotations name, which it has."""

    name: str
    severity: str
    annotations: dict[str, str]

    @property
    def named_labels(self) -> frozenset[str]:
        return frozenset(_LABEL.findall(" ".join(self.annotations.values())))


@cache
def shipped_alerts() -> tuple[ShippedAlert, ...]:
    """Return the alerts of all rule files."""
    return tuple(
        ShippedAlert(rule["alert"], rule["labels"]["severity"], rule["annotations"])
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    )
