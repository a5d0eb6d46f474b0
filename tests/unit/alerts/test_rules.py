"""The rules hold the numbers of `telemetry/thresholds.py` and ask for what the service exposes."""

import re
from collections.abc import Collection, Iterator

import promql_parser
import pytest
import yaml
from promql_parser import AggregateExpr, Expr, MatchOp, MatrixSelector, NumberLiteral

from telemetry import thresholds
from telemetry.catalogue import METRICS
from telemetry.thresholds import ALERT_CONDITIONS, ALERT_LIMITS
from tests.promql import complaints, selectors
from tests.rules import ROOT, RULES, Rule, read_alerts, read_rules

ALERTS = read_alerts()
NAMES = [rule.name for rule in ALERTS]
# Truths of gauges and wholes of shares.
NOT_CHOSEN = {0, 1}
BUDGET = round(1 - thresholds.TRIGGER_COMMIT_OBJECTIVE, 9)
LIMITS_OF_WORK = {
    "TapewatchWebSocketSlow": thresholds.WEBSOCKET_PROCESSING_LIMIT_S,
    "TapewatchDatabaseSlow": thresholds.DATABASE_QUERY_LIMIT_S,
}
OF_THE_JOB = {
    *("TapewatchNoLeaseHolder", "TapewatchLeaseFlapping", "TapewatchShardsUnevenlySpread"),
    *("TapewatchFeedWithoutWriter", "TapewatchCommandsUnanswered", "TapewatchStopOutBurst"),
    "TapewatchNoGateway",
}
OF_NO_INSTANCE = {"TapewatchNotificationsFailing", "TapewatchWatchdog"}
SECONDS = {"s": 1, "m": 60}
ALERTMANAGER = ROOT / "alerts" / "alertmanager" / "alertmanager.yml"
# A process that is back may have something else: nothing of it is silenced for long.
SILENCES_ALL = {"TapewatchInstanceDown"}
# Worth telling, should it be so once the cause has gone: the leader changed often, the budget of
# days is short.
TOLD_AFTERWARDS = {
    ("TapewatchDatabaseDown", "TapewatchLeaseFlapping"),
    ("TapewatchDatabaseDown", "TapewatchTriggerBudgetBurnsFast"),
    ("TapewatchDatabaseDown", "TapewatchTriggerBudgetBurns"),
    ("TapewatchWriterQueueLong", "TapewatchTriggerBudgetBurnsFast"),
    ("TapewatchTriggerBudgetBurnsFast", "TapewatchTriggerBudgetBurns"),
}
OPEN_LABELS = {"job", "instance", "integration", "rule_group"}


def rules(names: Collection[str] | None = None) -> pytest.MarkDecorator:
    chosen = [rule for rule in read_rules() if names is None or rule.name in names]
    return pytest.mark.parametrize("rule", chosen, ids=lambda rule: rule.name)


def nodes(expression: str) -> list[Expr]:
    found: list[Expr] = []
    promql_parser.walk(promql_parser.parse(expression), found.append)
    return found


def numbers(rule: Rule) -> set[float]:
    return {node.val for node in nodes(rule.expression) if isinstance(node, NumberLiteral)}


def edges(rule: Rule) -> Iterator[str]:
    for selector in selectors(rule.expression):
        if "le" in selector.matchers:
            yield selector.matchers["le"][1]


def declared(alert: str) -> set[float]:
    limits = {limit.value for limit in ALERT_LIMITS if limit.alert == alert}
    conditions = {each.value for each in ALERT_CONDITIONS if each.alert == alert}
    of_work = {LIMITS_OF_WORK[alert]} if alert in LIMITS_OF_WORK else set()
    return limits | conditions | of_work


def seconds(duration: str) -> int:
    return int(duration[:-1]) * SECONDS[duration[-1]] if duration else 0


@rules(NAMES)
def test_an_alert_holds_the_numbers_declared_for_it_and_no_others(rule: Rule) -> None:
    held = numbers(rule) | {float(edge) for edge in edges(rule)}
    assert declared(rule.name) <= held
    assert held - declared(rule.name) <= NOT_CHOSEN


def test_every_declared_number_belongs_to_an_alert() -> None:
    assert {each.alert for each in (*ALERT_LIMITS, *ALERT_CONDITIONS)} <= set(NAMES)


@rules({rule.name for rule in read_rules()} - set(NAMES))
def test_a_recording_rule_holds_the_promise_to_traders(rule: Rule) -> None:
    level, metric, operation = rule.name.split(":")
    assert level == "instance"
    assert set(edges(rule)) == {str(thresholds.TRIGGER_COMMIT_LIMIT_S)}
    if operation.startswith("burnrate"):
        assert numbers(rule) - NOT_CHOSEN == {BUDGET}
    window = re.sub(r"^[a-z]+", "", operation)
    assert set(re.findall(r"\[(\w+)\]", rule.expression)) == {window}
    assert metric.startswith("tapewatch_")


@rules()
def test_it_asks_for_what_the_service_exposes(rule: Rule) -> None:
    assert complaints(rule.expression) == []
    recorded = {each.name for each in read_rules()} - set(NAMES)
    closed = {m.name: {label.name: label.values for label in m.labels} for m in METRICS}
    for selector in selectors(rule.expression):
        if ":" in selector.metric:
            assert selector.metric in recorded
        for label, (op, value) in selector.matchers.items():
            values = closed.get(selector.metric, {}).get(label)
            if values is not None and op in (MatchOp.Re, MatchOp.NotRe):
                assert set(value.split("|")) <= set(values), f"{label}={value}"


@rules()
def test_it_aggregates_by_job_instance_and_its_subject(rule: Rule) -> None:
    known = {label.name for metric in METRICS for label in metric.labels} | OPEN_LABELS
    for node in nodes(rule.expression):
        if isinstance(node, AggregateExpr):
            assert node.modifier is not None
            labels = node.modifier.labels
            assert labels[0] == "job"
            assert rule.name in OF_THE_JOB or labels[1] == "instance"
            assert set(labels) <= known


@rules(NAMES)
def test_an_alert_is_soon_told_and_says_where_to_look(rule: Rule) -> None:
    assert rule.severity in ("critical", "warning", "none")
    # A budget is burnt for a quarter of an hour before it makes a ticket.
    longest = {"critical": 30, "warning": 120, "none": 0}[rule.severity]
    assert seconds(rule.for_) <= longest or rule.name == "TapewatchTriggerBudgetBurns"
    assert set(rule.annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert (
        rule.annotations["runbook_url"] == f"{{{{ $externalLabels.runbooks_url }}}}/{rule.name}.md"
    )
    board, _, variables = rule.annotations["dashboard_url"].partition("?")
    assert re.fullmatch(r"\{\{ \$externalLabels\.grafana_url \}\}/d/tapewatch-[a-z-]+", board)
    instance = "$__all" if rule.name in OF_THE_JOB else "{{ $labels.instance }}"
    wanted = f"var-job={{{{ $labels.job }}}}&var-instance={instance}"
    assert variables == ("" if rule.name in OF_NO_INSTANCE else wanted)


def test_names_are_unique_and_groups_keep_the_common_interval() -> None:
    names = [rule.name for rule in read_rules()]
    assert len(names) == len(set(names))
    for path in RULES.glob("*.yml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert [group["name"] for group in content["groups"]] == [f"tapewatch-{path.stem}"]
        assert all(group.keys() == {"name", "rules"} for group in content["groups"])
        for rule in content["groups"][0]["rules"]:
            assert set(rule.get("labels", {})) <= {"severity"}


def windows(rule: Rule) -> Iterator[int]:
    for node in nodes(rule.expression):
        if isinstance(node, MatrixSelector):
            yield round(node.range.total_seconds())


def outlives_s(rule: Rule) -> int:
    """Return how long an alert may go on after its cause: its longest window and what it keeps."""
    return max(windows(rule), default=0) + seconds(rule.keep_firing_for)


def silenced() -> Iterator[tuple[str, str]]:
    """Yield what silences what in Alertmanager."""
    config = yaml.safe_load(ALERTMANAGER.read_text(encoding="utf-8"))
    for rule in config["inhibit_rules"]:
        (source,) = _named(rule["source_matchers"])
        yield from ((source, target) for target in _named(rule["target_matchers"]))


def _named(matchers: list[str]) -> list[str]:
    (names,) = re.findall(r'alertname=~?"([^"]+)"', " ".join(matchers))
    return [name for name in NAMES if re.fullmatch(names, name)]


@pytest.mark.parametrize(("source", "target"), [*silenced()])
def test_what_silences_an_alert_outlives_it(source: str, target: str) -> None:
    if source in SILENCES_ALL or (source, target) in TOLD_AFTERWARDS:
        return
    by_name = {rule.name: rule for rule in ALERTS}
    assert outlives_s(by_name[source]) >= outlives_s(by_name[target])
