"""What every panel owes whoever reads it at night."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from telemetry.thresholds import ALERT_LIMITS
from tests.dashboard_linter import WITHOUT_DATA, expanded, panels, targets, with_data
from tests.dashboards import read_dashboards
from tests.promql import complaints, selectors
from tests.rules import read_alerts

DASHBOARDS = read_dashboards()
# A window that is not Grafana's is that of the alert whose number the panel is compared with.
ALERT_WINDOWS = {"5m", "10m"}
OVERLAPS = ("x", "y", "w", "h")


@pytest.fixture(params=DASHBOARDS)
def dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    return DASHBOARDS[request.param]


def _asked() -> Iterator[tuple[dict[str, Any], str]]:
    for dashboard in DASHBOARDS.values():
        for panel in with_data(dashboard):
            for target in panel["targets"]:
                yield panel, target["expr"]


def test_a_query_asks_for_what_is_exposed(dashboard: dict[str, Any]) -> None:
    for where, query in targets(dashboard):
        assert complaints(expanded(query)) == [], where


def test_a_window_is_grafanas_or_that_of_an_alert(dashboard: dict[str, Any]) -> None:
    for where, query in targets(dashboard):
        windows = set(re.findall(r"\[([^\]]+)\]", query))
        assert windows <= {"$__rate_interval", "$__range", *ALERT_WINDOWS}, where
        assert "rate(" not in query or windows <= {"$__rate_interval"}, where


def test_nothing_hides_that_there_is_no_data() -> None:
    for panel, query in _asked():
        assert "vector(" not in query, panel["title"]
        assert "absent" not in query, panel["title"]


def test_a_description_says_what_it_shows_and_more(dashboard: dict[str, Any]) -> None:
    for panel in panels(dashboard):
        if panel["type"] not in ("row", "text"):
            described = panel["description"]
            assert len(described) >= 60 or panel["type"] == "alertlist", panel["title"]
            assert described.endswith("."), panel["title"]


def test_panels_fill_their_lines_and_lie_beside_each_other(dashboard: dict[str, Any]) -> None:
    taken: dict[tuple[int, int], int] = {}
    for panel in panels(dashboard):
        x, y, w, h = (panel["gridPos"][side] for side in OVERLAPS)
        assert 0 <= x < x + w <= 24
        for cell in ((column, line) for column in range(x, x + w) for line in range(y, y + h)):
            assert cell not in taken, panel["title"]
            taken[cell] = panel["id"]
    for line in {line for _, line in taken}:
        assert len([column for column, at in taken if at == line]) == 24


def test_ids_and_titles_are_each_of_one_panel(dashboard: dict[str, Any]) -> None:
    found = panels(dashboard)
    assert len({panel["id"] for panel in found}) == len(found)
    rows: list[list[str]] = []
    for panel in found:
        if panel["type"] == "row":
            rows.append([])
        elif panel["title"]:
            rows[-1].append(panel["title"])
    for titles in rows:
        assert len(set(titles)) == len(titles)
    for panel in with_data(dashboard):
        letters = [target["refId"] for target in panel["targets"]]
        assert sorted(set(letters)) == letters, panel["title"]


def test_latency_shows_exemplars_and_a_tile_does_not() -> None:
    for dashboard in DASHBOARDS.values():
        for panel in with_data(dashboard):
            for target in panel["targets"]:
                timed = "histogram_quantile" in target["expr"] and "_seconds_bucket" in str(target)
                traced = timed and panel["type"] == "timeseries"
                assert target["exemplar"] == (traced and _has_traces(target["expr"])), panel[
                    "title"
                ]


def _has_traces(query: str) -> bool:
    """Tell whether what is timed is part of a trace; collections and scrapes are of none."""
    untraced = r"tapewatch_(gc_pause|event_loop_lag|scrape)_"
    return re.search(untraced, query) is None


def test_a_red_line_is_the_number_of_its_alert() -> None:
    numbers = {limit.alert: limit.value for limit in ALERT_LIMITS}
    named = set()
    for dashboard in DASHBOARDS.values():
        for panel in with_data(dashboard):
            found = re.search(r"Red beyond [^:]+: (\w+) ", panel["description"])
            if found is not None:
                named.add(found[1])
                steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
                assert steps[-1] == {"color": "red", "value": numbers[found[1]]}
    # The one that has no line of its own is a slower window of one that has.
    assert numbers.keys() - named == {"TapewatchTriggerBudgetBurns"}


def test_an_alert_opens_the_dashboard_that_draws_its_number() -> None:
    numbers = {limit.alert for limit in ALERT_LIMITS} - {"TapewatchTriggerBudgetBurns"}
    for rule in read_alerts():
        uid = rule.annotations["dashboard_url"].partition("/d/")[2].partition("?")[0]
        described = [panel.get("description", "") for panel in panels(DASHBOARDS[uid])]
        assert rule.name not in numbers or any(rule.name in each for each in described), uid


def test_links_keep_the_time_and_what_is_chosen(dashboard: dict[str, Any]) -> None:
    (others,) = dashboard["links"]
    assert others["type"] == "dashboards"
    assert others["tags"] == dashboard["tags"] == ["tapewatch"]
    assert others["includeVars"]
    assert others["keepTime"]
    for panel in panels(dashboard):
        for link in panel.get("links", ()):
            uid, _, query = link["url"].removeprefix("/d/").partition("?")
            assert uid in DASHBOARDS
            assert query == "${__url_time_range}&${__all_variables}"


def test_alerts_and_starts_are_marked(dashboard: dict[str, Any]) -> None:
    alerts, starts = dashboard["annotations"]["list"]
    assert [each.metric for each in selectors(alerts["expr"])] == ["ALERTS"]
    assert [each.metric for each in selectors(starts["expr"])] == ["process_start_time_seconds"]
    assert starts["useValueForTime"] == "on"


def test_a_panel_without_data_is_a_row_a_text_or_a_list_of_alerts() -> None:
    for dashboard in DASHBOARDS.values():
        for panel in panels(dashboard):
            assert ("targets" in panel) == (panel["type"] not in WITHOUT_DATA)
