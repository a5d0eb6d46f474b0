"""Every alert fires, says what it should, resolves and stays quiet: promtool runs alerts/tests."""

import re
import subprocess
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from telemetry.metrics import Metrics
from tests.monitoring import programs
from tests.rule_changes import mutants
from tests.rule_mutants import EQUIVALENT, survivors
from tests.rules import RULES, TESTS, read_alerts, read_rules

FILES = sorted(TESTS.glob("*.yml"))
ALWAYS = "TapewatchWatchdog"
SEED = 5
PARTS = ("summary", "description", "runbook_url", "dashboard_url")


def promtool(*arguments: str | Path) -> None:
    result = subprocess.run(
        [programs().promtool, *arguments], capture_output=True, text=True, timeout=100
    )
    assert result.returncode == 0, result.stdout + result.stderr


def cases() -> list[dict[str, Any]]:
    """Return all test cases there are."""
    return [
        case
        for path in FILES
        for case in yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)["tests"]
    ]


def seconds(time: str) -> int:
    units = {"d": 86400, "h": 3600, "m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([dhms])", time))


def seen(case: dict[str, Any]) -> dict[str, dict[int, bool]]:
    """Return when a case sees which alert fire, or not."""
    times: dict[str, dict[int, bool]] = defaultdict(dict)
    for check in case.get("alert_rule_test", ()):
        times[check["alertname"]][seconds(check["eval_time"])] = bool(check.get("exp_alerts"))
    for check in case.get("promql_expr_test", ()):
        for alert in re.findall(r'alertname="(\w+)"', check["expr"]):
            times[alert][seconds(check["eval_time"])] = bool(check.get("exp_samples"))
    return times


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_promtool_finds_the_rules_as_their_tests_say(path: Path) -> None:
    promtool("test", "rules", path)


def test_promtool_has_no_complaint_about_the_rules() -> None:
    promtool("check", "rules", *sorted(RULES.glob("*.yml")))


@pytest.mark.parametrize("alert", [rule.name for rule in read_alerts()])
def test_an_alert_is_seen_to_fire_to_resolve_and_to_be_quiet(alert: str) -> None:
    fires_then_resolves = is_quiet = False
    for case in cases():
        times = seen(case).get(alert, {})
        fired = [time for time, is_firing in times.items() if is_firing]
        quiet = [time for time, is_firing in times.items() if not is_firing]
        fires_then_resolves |= bool(fired and quiet and max(quiet) > min(fired))
        is_quiet |= bool(quiet and (not fired or min(quiet) < min(fired)))
    assert (fires_then_resolves and is_quiet) or alert == ALWAYS


@pytest.mark.parametrize("alert", [rule.name for rule in read_alerts()])
def test_what_an_alert_says_is_held_word_for_word(alert: str) -> None:
    expected = [
        said["exp_annotations"]
        for case in cases()
        for check in case.get("alert_rule_test", ())
        if check["alertname"] == alert
        for said in check.get("exp_alerts", ())
    ]
    assert expected
    for annotations in expected:
        assert tuple(annotations) == PARTS
        assert not re.search(r"no value|NaN|Inf|%!|\{\{", "".join(annotations.values()))


def test_a_service_that_has_done_nothing_raises_no_alert(tmp_path: Path) -> None:
    lines = "".join(Metrics().render()).splitlines()
    series = [
        {"series": _with_target(line.rpartition(" ")[0]), "values": f"{line.rpartition(' ')[2]}x80"}
        for line in lines
        if not line.startswith("#")
        # What the service itself keeps up to date, from its first scrape on.
        and not line.startswith("tapewatch_dependency_up")
    ]
    never = 'count by (alertname) (count_over_time(ALERTS{alertstate="firing"}[20m]))'
    only = [{"labels": f'{{alertname="{ALWAYS}"}}', "value": 1}]
    series += [{"series": 'up{job="tapewatch",instance="a"}', "values": "1x80"}]
    case = {
        "interval": "15s",
        "input_series": series,
        "promql_expr_test": [{"expr": never, "eval_time": "20m", "exp_samples": only}],
    }
    content = {"rule_files": [str(RULES / "*.yml")], "evaluation_interval": "15s", "tests": [case]}
    path = tmp_path / "untouched.yml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    promtool("test", "rules", path)


def _with_target(series: str) -> str:
    name, _, labels = series.partition("{")
    return f'{name}{{job="tapewatch",instance="a",{labels.removesuffix("}")}}}'


def test_a_sample_of_mutants_of_the_rules_dies() -> None:
    """One of each rule; `python -m tests.rule_mutants` runs all."""
    programs()
    random = Random(SEED)
    sample = [random.choice(list(mutants(rule))) for rule in read_rules()]
    assert [str(mutant) for mutant in survivors(sample)] == []


def test_every_equivalent_mutant_is_one() -> None:
    changes = {(m.rule.name, m.change) for rule in read_rules() for m in mutants(rule)}
    assert EQUIVALENT.keys() <= changes
    assert all(EQUIVALENT.values())
