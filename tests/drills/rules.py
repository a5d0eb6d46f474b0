"""The alert rules as shipped: what a drill must know of each, read from the files themselves."""

import re
from functools import cache
from typing import Any, NamedTuple

import yaml

from alerts.monitor.local_routes import SHIPPED as ROUTES
from alerts.monitor.prometheus import RULES

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class Rule(NamedTuple):
    """An alert rule; times in seconds."""

    alert: str
    severity: str
    for_s: float
    keep_firing_for_s: float


def seconds(text: str) -> float:
    """Return a duration of Prometheus, such as 1h30m, in seconds."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([a-z]+)", text))


@cache
def alert_rules() -> dict[str, Rule]:
    """Return the alert rules by name."""
    found = {}
    for path in sorted(RULES.glob("*.yml")):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    found[rule["alert"]] = Rule(
                        rule["alert"],
                        rule["labels"]["severity"],
                        seconds(rule.get("for", "0s")),
                        seconds(rule.get("keep_firing_for", "0s")),
                    )
    return found


@cache
def receivers() -> dict[str, tuple[str, float]]:
    """Return receiver and group wait of each severity, as the shipped routes have them."""
    root: dict[str, Any] = yaml.safe_load(ROUTES.read_text(encoding="utf-8"))["route"]
    found = {}
    for route in root["routes"]:
        for matcher in route["matchers"]:
            severity = re.fullmatch(r'severity="(\w+)"', matcher)
            if severity is not None and len(route["matchers"]) == 1:
                wait = route.get("group_wait", root["group_wait"])
                found[severity[1]] = route["receiver"], seconds(wait)
    return found
