"""A dashboard is drawn from what a Prometheus answers, and what is missing is said."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from dashboards.pictures.__main__ import main
from dashboards.pictures.answers import Line, Span, ask, targets_of
from dashboards.pictures.picture import picture
from dashboards.pictures.svg import cut, lines_of
from dashboards.pictures.units import shown
from tests.dashboards import read_dashboards

SPAN = Span(1_700_000_000.0, 1_700_000_600.0, 15.0)
CHOSEN = {"job": "tapewatch", "instance": ".+"}
DASHBOARDS = read_dashboards()
SVG = "{http://www.w3.org/2000/svg}"


class FakePrometheus:
    """Answers every query with two lines, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.status = 200
        self.alerts: list[dict[str, Any]] = []

    async def query(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append(form)
        if self.status != 200:
            return web.Response(status=self.status)
        start = float(form.get("start", SPAN.start))
        values = [[start + 15 * at, str(at % 3)] for at in range(40)]
        if form["query"].startswith("ALERTS{"):
            return web.json_response({"data": {"resultType": "vector", "result": self.alerts}})
        lines: list[dict[str, Any]] = [
            {"metric": {"instance": name, "loop": name, "le": "0.1"}, "values": values}
            for name in ("one", "two")
        ]
        if "start" not in form:
            lines = [{"metric": line["metric"], "value": values[-1]} for line in lines]
        return web.json_response({"data": {"resultType": "matrix", "result": lines}})


@pytest_asyncio.fixture
async def prometheus() -> AsyncIterator[tuple[FakePrometheus, str]]:
    fake = FakePrometheus()
    application = web.Application()
    application.router.add_post("/api/v1/query", fake.query)
    application.router.add_post("/api/v1/query_range", fake.query)
    async with TestServer(application) as server:
        yield fake, str(server.make_url(""))


def _words(drawn: str) -> str:
    return " ".join(each.text or "" for each in ElementTree.fromstring(drawn).iter(f"{SVG}text"))


@pytest.mark.parametrize("uid", DASHBOARDS)
async def test_every_dashboard_is_drawn(uid: str, prometheus: tuple[FakePrometheus, str]) -> None:
    fake, url = prometheus
    dashboard = DASHBOARDS[uid]
    answers = await ask(dashboard, url, SPAN, CHOSEN)
    drawn = picture(dashboard, answers, SPAN)
    words = _words(drawn)
    assert dashboard["title"] in words
    assert "not Grafana" in words
    for panel in dashboard["panels"]:
        assert panel["title"][:12] in words
    assert len(fake.asked) == sum(len(targets_of(panel)) for panel in dashboard["panels"])
    assert not [form for form in fake.asked if "$" in form["query"]]


async def test_alerts_are_listed_with_what_they_are(
    prometheus: tuple[FakePrometheus, str],
) -> None:
    fake, url = prometheus
    fake.alerts = [
        {
            "metric": {"alertname": name, "severity": severity, "alertstate": state, "loop": loop},
            "value": [SPAN.end, "1"],
        }
        for name, severity, state, loop in (
            ("Slow", "warning", "firing", "one"),
            ("Slow", "warning", "firing", "two"),
            ("Later", "warning", "pending", ""),
            ("Down", "critical", "firing", ""),
        )
    ]
    dashboard = DASHBOARDS["tapewatch-overview"]
    words = _words(picture(dashboard, await ask(dashboard, url, SPAN, CHOSEN), SPAN))
    assert "Down  (firing) Later  (pending) Slow ×2  (firing)" in words


def test_what_is_missing_is_said() -> None:
    words = _words(picture(DASHBOARDS["tapewatch-loops"], {}, SPAN))
    assert "No loop died" in words
    words = _words(picture(DASHBOARDS["tapewatch-overview"], {}, SPAN))
    assert "No data" in words
    assert "No alerts" in words


def _panel(title: str, **fields: Any) -> dict[str, Any]:
    (panel,) = (
        panel for panel in DASHBOARDS["tapewatch-overview"]["panels"] if panel["title"] == title
    )
    return {**panel, **fields}


def _drawn(panel: dict[str, Any], *lines: Line) -> str:
    board = {"title": "One", "panels": [panel]}
    return picture(board, {(panel["id"], "A"): list(lines)}, SPAN)


@pytest.mark.parametrize(
    ("title", "value", "colour", "said"),
    [
        ("PostgreSQL", 0.0, "#e02f44", "down"),
        ("PostgreSQL", 1.0, "#56a64b", "up"),
        ("Newest quote", 2.5, "#56a64b", "2.5 s"),
        ("Newest quote", 16.0, "#e02f44", "16 s"),
    ],
)
def test_a_tile_has_the_colour_of_its_value(
    title: str, value: float, colour: str, said: str
) -> None:
    drawn = _drawn(_panel(title), Line("", {}, ((SPAN.end, value),)))
    assert colour in drawn
    assert said in _words(drawn)


def test_a_line_is_broken_where_there_is_no_value() -> None:
    points = [(SPAN.start + 15 * at, float("nan") if at == 10 else 1.0) for at in range(20)]
    drawn = _drawn(_panel("Triggers", fieldConfig={"defaults": {}}), Line("x", {}, tuple(points)))
    assert len(re.findall(r'<polyline [^>]*stroke="#73bf69"', drawn)) == 2


def test_numbers_have_the_units_of_their_panel() -> None:
    assert [shown(value, "s") for value in (0, 0.00093, 0.25, 90, 7200)] == [
        "0 s",
        "930 µs",
        "250 ms",
        "1.5 min",
        "2 h",
    ]
    assert shown(0.0123, "percentunit") == "1.23%"
    assert shown(2048, "bytes") == "2 KiB"
    assert shown(12_345, "short") == "12.3 K"
    assert shown(float("nan"), "s") == "-"


def test_words_keep_to_their_room() -> None:
    assert cut("a long title of a panel", 10, 60) == "a long ti…"
    assert lines_of("one two three", 10, 50) == ["one two", "three"]


async def test_the_command_writes_a_picture_and_says_when_it_cannot(
    tmp_path: Path,
    prometheus: tuple[FakePrometheus, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake, url = prometheus
    target = tmp_path / "overview.svg"
    command = ["tapewatch-overview", "--prometheus", url, "--output", str(target)]
    assert await asyncio.to_thread(main, command) == 0
    assert "Overview" in target.read_text()
    fake.status = 500
    assert await asyncio.to_thread(main, command) == 1
    assert "cannot be asked" in capsys.readouterr().err


def test_the_step_suits_the_span() -> None:
    assert SPAN.step_s == 15.0
    assert Span(0.0, 86_400.0, 15.0).step_s == 360.0
