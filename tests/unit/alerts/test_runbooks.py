"""The runbooks keep their form, and what they name is there."""

import ast
import contextlib
import io
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.api.gateway import ROUTES
from service.cli import main
from tests.promql import complaints
from tests.runbooks import FOLDER, HEADINGS, LIMITS, README, ROOT, Runbook, runbooks, set_up, spoken

MAX_LINES = 80
TRIAL = "TapewatchTest"  # sent by hand, to try the way of a notification
CLOSING_WORDS = ("**Do not**", "**Recovered when**", "**Escalate**")
LANGUAGES = {"sh", "sql", "promql", "log", "text"}
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CALL = re.compile(r'(?:(?:-X )?(PUT|GET|POST|DELETE) )?"?\$API(/[^\s"?`]*)"?([^`\n]*)')


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert {runbook.name for runbook in runbooks()} == _alerts().keys()


@pytest.fixture(params=runbooks(), ids=repr)
def runbook(request: pytest.FixtureRequest) -> Runbook:
    found: Runbook = request.param
    return found


def test_it_has_the_four_headings_in_order_and_fits_a_screen_or_two(runbook: Runbook) -> None:
    assert runbook.text.startswith(f"# {runbook.name}\n")
    assert runbook.headings == HEADINGS
    assert all(runbook.sections[heading].strip() for heading in HEADINGS)
    assert len(runbook.text.splitlines()) <= MAX_LINES


def test_it_ends_with_what_not_to_do_how_to_see_the_end_and_whom_to_call(runbook: Runbook) -> None:
    places = [runbook.sections["Mitigation"].find(words) for words in CLOSING_WORDS]
    assert -1 not in places
    assert places == sorted(places)


def test_its_limit_is_that_of_the_thresholds(runbook: Runbook) -> None:
    assert runbook.facts["limit"] == spoken(LIMITS.get(runbook.name))


def test_its_severity_and_its_dashboard_are_those_of_the_alert(runbook: Runbook) -> None:
    alert = _alerts()[runbook.name]
    assert runbook.facts["severity"] == alert["labels"]["severity"]
    opened = alert["annotations"]["dashboard_url"].partition("/d/")[2].partition("?")[0]
    assert runbook.facts["dashboard"] == opened


def test_the_alerts_it_names_exist(runbook: Runbook) -> None:
    assert set(re.findall(r"Tapewatch[A-Z]\w+", runbook.text)) - {TRIAL} <= _alerts().keys()


def test_its_links_lead_somewhere(runbook: Runbook) -> None:
    assert "(README.md)" in runbook.text
    _assert_links(runbook.path)


def test_the_links_of_the_introduction_lead_somewhere() -> None:
    _assert_links(README)


def _assert_links(path: Path) -> None:
    for link in _LINK.findall(path.read_text(encoding="utf-8")):
        assert (FOLDER / link.partition("#")[0]).exists(), link


def test_its_blocks_say_what_they_are(runbook: Runbook) -> None:
    openings = re.findall(r"^```(.*)$", runbook.text, re.MULTILINE)[::2]
    assert {opening.partition(" ")[0] for opening in openings} <= LANGUAGES
    notes = {opening for opening in openings if " " in opening}
    assert notes <= {"promql empty-when-well"}


def test_its_queries_parse_and_ask_for_what_there_is(runbook: Runbook) -> None:
    queries = [fence.text for fence in runbook.fences("promql")]
    assert queries
    for query in queries:
        assert complaints(query) == [], query


def test_its_shell_can_be_read(runbook: Runbook) -> None:
    for fence in runbook.fences("sh"):
        subprocess.run(["bash", "-n"], input=fence.text, text=True, check=True)


def test_the_commands_routes_and_settings_it_names_exist(runbook: Runbook) -> None:
    assert set(re.findall(r"\$BIN/tapewatch (\w+)", runbook.text)) <= _subcommands()
    assert set(re.findall(r"`make (\w+)", runbook.text)) <= _targets()
    assert set(re.findall(r"\$OPS(/\w+)", runbook.text)) <= {"/metrics", "/livez", "/readyz"}
    for method, path, rest in _CALL.findall(runbook.text):
        asked = method or ("POST" if " -d " in rest else "GET")
        assert asked in _methods(f"/api/v1{path}"), f"{asked} {path}"
    settings = set(re.findall(r"TAPEWATCH_\w+", runbook.text))
    assert {name for name in settings if f"| `{name}` |" not in _readme()} == set()


def test_the_lines_to_look_for_are_written_by_the_code(runbook: Runbook) -> None:
    for fence in runbook.fences("log"):
        for line in fence.text.splitlines():
            assert line in _texts(), line


def test_the_shell_is_set_up_as_bash_can_read_it() -> None:
    subprocess.run(["bash", "-n"], input=set_up(), text=True, check=True)


@cache
def _alerts() -> Mapping[str, dict[str, Any]]:
    return {
        rule["alert"]: rule
        for path in (ROOT / "alerts" / "rules").glob("*.yml")
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


@cache
def _readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


@cache
def _subcommands() -> frozenset[str]:
    told = io.StringIO()
    with contextlib.redirect_stdout(told), pytest.raises(SystemExit):
        main(["--help"])
    return frozenset(re.findall(r"^    (\w+) ", told.getvalue(), re.MULTILINE))


@cache
def _targets() -> frozenset[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return frozenset(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


@cache
def _methods(path: str) -> frozenset[str]:
    """Return the methods of a path, with anything for its parameters."""
    return frozenset(
        route.method
        for route in ROUTES
        if re.fullmatch(re.sub(r"\{\w+\}", r"[^/]+", route.path), path)
    )


@cache
def _texts() -> frozenset[str]:
    """Return every string of the code: what it logs is among them."""
    return frozenset(
        node.value
        for folder in ("service", "telemetry")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
