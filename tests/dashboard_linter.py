"""The 17 rules of Grafana's dashboard-linter, by its names, with nothing excluded.

The linter itself is a Go program that cannot be had everywhere; these are its rules as it documents
them, in strict mode. Where it looks at some kinds of panel only, these look at all that have data.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import promql_parser
from promql_parser import Call, Expr, MatchOp, MatrixSelector, VectorSelector

Dashboard = dict[str, Any]
Panel = dict[str, Any]
Rule = Callable[[Dashboard], Iterator[str]]

WITHOUT_DATA = ("row", "text", "alertlist")
UNITS = frozenset(
    (
        *("none", "string", "short", "percent", "percentunit", "bool", "bool_yes_no"),
        *("bytes", "decbytes", "bits", "Bps", "binBps", "bps"),
        *("s", "ms", "µs", "ns", "m", "h", "d", "dtdurations", "dateTimeAsIso", "dateTimeFromNow"),
        *("cps", "ops", "reqps", "rps", "wps", "iops", "cpm", "opm", "rpm", "wpm", "hertz"),
    )
)
"""Those of the linter's list that a service like this has any use for."""

# Lengths that nobody writes, in the place of Grafana's own variables.
_RATE_INTERVAL = "7919s"
_MACROS = {
    "$__rate_interval": _RATE_INTERVAL,
    "$__range": "3600s",
    "$__interval": "7907s",
}
_COUNTER_FUNCTIONS = ("rate", "irate", "increase")
_VARIABLE_FUNCTIONS = ("label_names", "label_values", "metrics", "query_result")


def panels(dashboard: Dashboard) -> list[Panel]:
    """Return all panels, those inside of collapsed rows too."""
    found = []
    for panel in dashboard["panels"]:
        found += [panel, *panel.get("panels", ())]
    return found


def with_data(dashboard: Dashboard) -> list[Panel]:
    """Return the panels that draw data."""
    return [panel for panel in panels(dashboard) if panel["type"] not in WITHOUT_DATA]


def targets(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    """Yield where a query stands, and the query."""
    for panel in panels(dashboard):
        for target in panel.get("targets", ()):
            yield f"{panel['title']} {target.get('refId')}", target.get("expr", "")


def expanded(query: str) -> str:
    """Return a query with numbers for Grafana's macros, so that it is PromQL."""
    for macro, value in _MACROS.items():
        query = query.replace(macro, value)
    return query


def template_datasource(dashboard: Dashboard) -> Iterator[str]:
    chosen = _variables(dashboard, "datasource")
    if not chosen:
        yield "no variable is a data source"
    for variable in chosen:
        if variable["name"] not in ("datasource", f"{variable['query']}_datasource"):
            yield f"data source variable is named {variable['name']}"
        if variable.get("label") not in ("Data source", "Prometheus data source"):
            yield f"data source variable is labelled {variable.get('label')}"


def template_job(dashboard: Dashboard) -> Iterator[str]:
    yield from _target_variable(dashboard, "job")


def template_instance(dashboard: Dashboard) -> Iterator[str]:
    yield from _target_variable(dashboard, "instance")


def template_label_promql(dashboard: Dashboard) -> Iterator[str]:
    for variable in _variables(dashboard, "query"):
        match = re.fullmatch(r"([a-z_]+)\((.+?)(?:, *\w+)?\)", variable["query"])
        if match is None or match[1] not in _VARIABLE_FUNCTIONS:
            yield f"{variable['name']} asks {variable['query']}"
        elif _parsed(match[2]) is None:
            yield f"{variable['name']}: {match[2]} is no PromQL"


def template_on_time_change_reload(dashboard: Dashboard) -> Iterator[str]:
    for variable in _variables(dashboard, "query"):
        if variable.get("refresh") != 2:
            yield f"{variable['name']} is not read anew when the time changes"


def panel_datasource(dashboard: Dashboard) -> Iterator[str]:
    names = [variable["name"] for variable in _variables(dashboard, "datasource")]
    allowed = {form for name in names for form in (f"${name}", f"${{{name}}}")}
    for panel in with_data(dashboard):
        for owner in (panel, *panel["targets"]):
            if owner.get("datasource", {}).get("uid") not in allowed:
                yield f"{panel['title']} does not use the chosen data source"


def panel_title_description(dashboard: Dashboard) -> Iterator[str]:
    for panel in panels(dashboard):
        if panel["type"] == "row":
            continue
        if not panel.get("description") or not (panel["title"] or panel["type"] == "text"):
            yield f"panel {panel['id']} {panel['title']} has no title or no description"


def panel_units(dashboard: Dashboard) -> Iterator[str]:
    for panel in with_data(dashboard):
        config = panel["fieldConfig"]
        units = [config["defaults"].get("unit")]
        for override in config.get("overrides", ()):
            units += [each["value"] for each in override["properties"] if each["id"] == "unit"]
        if not set(units) <= UNITS:
            yield f"{panel['title']} has units {units}"


def panel_no_targets(dashboard: Dashboard) -> Iterator[str]:
    for panel in with_data(dashboard):
        if not panel.get("targets"):
            yield f"{panel['title']} asks for nothing"


def target_logql(dashboard: Dashboard) -> Iterator[str]:
    for panel in panels(dashboard):
        for target in panel.get("targets", ()):
            if target.get("datasource", {}).get("type") == "loki":
                yield f"{panel['title']} asks Loki, and there is no parser of LogQL here"


def target_logql_auto(dashboard: Dashboard) -> Iterator[str]:
    for panel in panels(dashboard):
        for target in panel.get("targets", ()):
            asks_loki = target.get("datasource", {}).get("type") == "loki"
            if asks_loki and "[$__auto]" not in target["expr"]:
                yield f"{panel['title']} asks Loki within a fixed time"


def target_promql(dashboard: Dashboard) -> Iterator[str]:
    for where, query in targets(dashboard):
        if _parsed(query) is None:
            yield f"{where}: {query} is no PromQL"


def target_rate_interval(dashboard: Dashboard) -> Iterator[str]:
    wanted = promql_parser.parse_duration(_RATE_INTERVAL)
    for where, query in targets(dashboard):
        for node in _nodes(query):
            if isinstance(node, Call) and node.func.name in ("rate", "irate"):
                (argument,) = node.args
                if not isinstance(argument, MatrixSelector) or argument.range != wanted:
                    yield f"{where}: {node.func.name} is not over $__rate_interval"


def target_job(dashboard: Dashboard) -> Iterator[str]:
    yield from _matcher(dashboard, "job")


def target_instance(dashboard: Dashboard) -> Iterator[str]:
    yield from _matcher(dashboard, "instance")


def target_counter_agg(dashboard: Dashboard) -> Iterator[str]:
    for where, query in targets(dashboard):
        counted = 0
        asked = 0
        for node in _nodes(query):
            if isinstance(node, VectorSelector) and (node.name or "").endswith("_total"):
                asked += 1
            if isinstance(node, Call) and node.func.name in _COUNTER_FUNCTIONS:
                (argument,) = node.args
                if isinstance(argument, MatrixSelector):
                    counted += (argument.vector_selector.name or "").endswith("_total")
        if asked > counted:
            yield f"{where}: a counter is neither a rate nor an increase"


def uneditable_dashboard(dashboard: Dashboard) -> Iterator[str]:
    if dashboard.get("editable") is not False:
        yield "the dashboard may be edited"


RULES: dict[str, Rule] = {
    "template-datasource-rule": template_datasource,
    "template-job-rule": template_job,
    "template-instance-rule": template_instance,
    "template-label-promql-rule": template_label_promql,
    "template-on-time-change-reload-rule": template_on_time_change_reload,
    "panel-datasource-rule": panel_datasource,
    "panel-title-description-rule": panel_title_description,
    "panel-units-rule": panel_units,
    "panel-no-targets-rule": panel_no_targets,
    "target-logql-rule": target_logql,
    "target-logql-auto-rule": target_logql_auto,
    "target-promql-rule": target_promql,
    "target-rate-interval-rule": target_rate_interval,
    "target-job-rule": target_job,
    "target-instance-rule": target_instance,
    "target-counter-agg-rule": target_counter_agg,
    "uneditable-dashboard": uneditable_dashboard,
}


def _variables(dashboard: Dashboard, kind: str) -> list[dict[str, Any]]:
    return [each for each in dashboard["templating"]["list"] if each["type"] == kind]


def _target_variable(dashboard: Dashboard, name: str) -> Iterator[str]:
    found = [each for each in dashboard["templating"]["list"] if each["name"] == name]
    if len(found) != 1:
        yield f"there is no variable {name}"
        return
    (variable,) = found
    wanted = {
        "type": "query",
        "label": name.title(),
        "multi": True,
        "allValue": ".+",
    }
    for field, value in wanted.items():
        if variable.get(field) != value:
            yield f"variable {name}: {field} is {variable.get(field)}, not {value}"
    if variable.get("datasource", {}).get("uid") not in ("$datasource", "${datasource}"):
        yield f"variable {name} does not ask the chosen data source"


def _matcher(dashboard: Dashboard, label: str) -> Iterator[str]:
    for where, query in targets(dashboard):
        for node in _nodes(query):
            if isinstance(node, VectorSelector):
                found = [each for each in node.matchers.matchers if each.name == label]
                if not found or (found[0].op, found[0].value) != (MatchOp.Re, f"${label}"):
                    yield f'{where}: {node.name} is not of {label}=~"${label}"'


@cache
def _parsed(query: str) -> Expr | None:
    try:
        return promql_parser.parse(expanded(query))
    except ValueError:
        return None


@cache
def _nodes(query: str) -> list[Expr]:
    """Return the nodes of a query, the selectors inside of ranges among them."""
    found: list[Expr] = []

    def take(node: Expr) -> bool:
        found.append(node)
        return True

    parsed = _parsed(query)
    if parsed is not None:
        promql_parser.walk(parsed, take)
    return found
