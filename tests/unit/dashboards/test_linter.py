"""The dashboards pass every rule of dashboard-linter, and every rule finds what it is for."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from dashboards.files import BOARDS
from tests.dashboard_linter import RULES, Dashboard, with_data
from tests.dashboards import read_dashboards

DASHBOARDS = read_dashboards()
Break = Callable[[Dashboard], Any]


def _panel(dashboard: Dashboard) -> dict[str, Any]:
    """Return a panel over time with one query."""
    found: dict[str, Any] = next(
        panel
        for panel in with_data(dashboard)
        if panel["type"] == "timeseries" and len(panel["targets"]) == 1
    )
    return found


def _set(**fields: Any) -> Break:
    return lambda dashboard: _panel(dashboard).update(fields)


def _ask(query: str) -> Break:
    return lambda dashboard: _panel(dashboard)["targets"][0].update(expr=query)


def _variable(name: str, /, **fields: Any) -> Break:
    def change(dashboard: Dashboard) -> None:
        for variable in dashboard["templating"]["list"]:
            if variable["name"] == name:
                variable.update(fields)

    return change


_OURS = '{job=~"$job", instance=~"$instance"}'
_LOKI = [{"refId": "A", "expr": "{}", "datasource": {"type": "loki", "uid": "${datasource}"}}]
BREAKS: dict[str, tuple[Break, ...]] = {
    "template-datasource-rule": (
        _variable("datasource", name="prometheus"),
        _variable("datasource", label="Source"),
        lambda dashboard: dashboard["templating"]["list"].pop(0),
    ),
    "template-job-rule": (
        _variable("job", multi=False),
        _variable("job", allValue=None),
        _variable("job", label="job"),
        _variable("job", name="service"),
    ),
    "template-instance-rule": (_variable("instance", datasource={"uid": "prometheus"}),),
    "template-label-promql-rule": (
        _variable("instance", query="label_values(up{, instance)"),
        _variable("instance", query="instances(up, instance)"),
    ),
    "template-on-time-change-reload-rule": (_variable("job", refresh=1),),
    "panel-datasource-rule": (_set(datasource={"type": "prometheus", "uid": "one"}),),
    "panel-title-description-rule": (_set(title=""), _set(description="")),
    "panel-units-rule": (
        lambda dashboard: _panel(dashboard)["fieldConfig"]["defaults"].pop("unit"),
        lambda dashboard: _panel(dashboard)["fieldConfig"]["defaults"].update(unit="quotes"),
    ),
    "panel-no-targets-rule": (_set(targets=[]),),
    "target-logql-rule": (_set(targets=_LOKI),),
    "target-logql-auto-rule": (_set(targets=_LOKI),),
    "target-promql-rule": (_ask("sum(rate(x)"), _ask(f"rate(x{_OURS})"), _ask("")),
    "target-rate-interval-rule": (_ask(f"rate(x{_OURS}[5m])"),),
    "target-job-rule": (_ask("up"), _ask('up{job="$job"}'), _ask('up{job=~"tapewatch"}')),
    "target-instance-rule": (_ask('up{job=~"$job"}'),),
    "target-counter-agg-rule": (_ask(f"x_total{_OURS}"), _ask(f"delta(x_total{_OURS}[5m])")),
    "uneditable-dashboard": (lambda dashboard: dashboard.update(editable=True),),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("uid", DASHBOARDS)
def test_a_dashboard_passes(uid: str, rule: str) -> None:
    assert list(RULES[rule](DASHBOARDS[uid])) == []


@pytest.mark.parametrize(
    ("rule", "broken"), [(rule, broken) for rule, breaks in BREAKS.items() for broken in breaks]
)
def test_a_rule_finds_what_it_is_for(rule: str, broken: Break) -> None:
    dashboard = copy.deepcopy(DASHBOARDS["tapewatch-overview"])
    broken(dashboard)
    assert list(RULES[rule](dashboard))


def test_there_are_all_seventeen_and_none_is_left_out() -> None:
    assert len(RULES) == 17
    assert RULES.keys() == BREAKS.keys()
    assert DASHBOARDS.keys() == {board.uid for board in BOARDS}
