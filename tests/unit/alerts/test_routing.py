"""The configuration of Alertmanager: right, without surprises, and of the alerts there are."""

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.monitor.local_routes import SHIPPED
from tests.monitoring import programs
from tests.shipped_alerts import RULES, ShippedAlert, shipped_alerts

RECEIVERS = {"critical": "page", "warning": "ticket", "none": "heartbeat"}
MAY_BE_SECRET = re.compile(r"(key|token|password|secret|credentials)$|api_url$")
CONFIG: dict[str, Any] = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
INHIBITIONS: list[dict[str, Any]] = CONFIG["inhibit_rules"]
SERVICE = Path(__file__).resolve().parents[3] / "service"
WHOLE_JOB = "TapewatchInstanceDown"


def _ask(*command: object) -> str:
    words = [str(word) for word in command]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_amtool_takes_it() -> None:
    assert "SUCCESS" in _ask(programs().amtool, "check-config", SHIPPED)


def test_amlint_finds_nothing_in_it_nor_between_it_and_the_rules() -> None:
    lint = (sys.executable, "-c", "from amlint.cli import main; main()")
    rules = ("--rules", RULES / "*.yml")
    assert _ask(*lint, "check", "--strict", "--format", "json", *rules, SHIPPED).strip() == "[]"


@pytest.mark.parametrize("alert", shipped_alerts(), ids=lambda alert: alert.name)
def test_an_alert_goes_where_its_severity_says(alert: ShippedAlert) -> None:
    labels = {"alertname": alert.name, "severity": alert.severity, "job": "tapewatch"}
    _ask(
        *(programs().amtool, "config", "routes", "test", f"--config.file={SHIPPED}"),
        f"--verify.receivers={RECEIVERS[alert.severity]}",
        *(f"{name}={value}" for name, value in labels.items()),
    )


def test_what_is_no_alert_of_ours_reaches_somebody() -> None:
    route = (programs().amtool, "config", "routes", "test", f"--config.file={SHIPPED}")
    assert _ask(*route, "alertname=Other", "severity=info").strip() == "mail"


def test_the_heartbeat_comes_once_a_minute() -> None:
    """A flush just when the last one is a repeat interval old may find it younger than that."""
    (route,) = (each for each in CONFIG["route"]["routes"] if each["receiver"] == "heartbeat")
    flush_s, repeat_s = (
        int(route[name].removesuffix("s")) for name in ("group_interval", "repeat_interval")
    )
    assert repeat_s % flush_s
    assert math.ceil(repeat_s / flush_s) * flush_s == 60


def test_no_secret_is_in_it() -> None:
    def keys(value: object) -> list[str]:
        if isinstance(value, dict):
            return [*map(str, value), *(key for each in value.values() for key in keys(each))]
        return [key for each in value for key in keys(each)] if isinstance(value, list) else []

    assert not [key for key in keys(CONFIG) if MAY_BE_SECRET.search(key)]


@pytest.mark.parametrize("rule", INHIBITIONS, ids=lambda rule: rule["source_matchers"][0])
def test_what_is_equal_is_on_both_sides(rule: dict[str, Any]) -> None:
    """Labels that both sides lack are equal too, and would silence everywhere."""
    sources, targets = _matching(rule["source_matchers"]), _matching(rule["target_matchers"])
    assert sources
    assert targets
    for alert in (*sources, *targets):
        if WHOLE_JOB not in {each.name for each in sources}:
            assert set(rule["equal"]) <= alert.named_labels, alert.name
    assert not {each.name for each in sources} & {each.name for each in targets}


def test_loops_that_are_silenced_are_loops() -> None:
    matchers = [each for rule in INHIBITIONS for each in rule["target_matchers"]]
    (named,) = (each for each in matchers if each.startswith("loop="))
    added = re.compile(r"""\.(?:keep|repeat)\(\s*"(\w+)\"""")
    code = [path.read_text(encoding="utf-8") for path in SERVICE.rglob("*.py")]
    loops = {name for text in code for name in added.findall(text)}
    assert set(re.findall(r"\w+", named.partition("=~")[2])) <= loops


def test_alerts_that_silence_are_alerts() -> None:
    names = {alert.name for alert in shipped_alerts()}
    named = re.findall(r"Tapewatch\w+", SHIPPED.read_text(encoding="utf-8"))
    assert set(named) <= names


def _matching(matchers: list[str]) -> list[ShippedAlert]:
    """Return the alerts that matchers on `alertname` match."""
    found = list(shipped_alerts())
    for matcher in matchers:
        parsed = re.fullmatch(r'(\w+)(=~|!~|=)"(.*)"', matcher)
        assert parsed is not None, matcher
        label, operator, value = parsed.groups()
        if label == "alertname":
            wanted = operator != "!~"
            found = [each for each in found if bool(re.fullmatch(value, each.name)) == wanted]
    return found
