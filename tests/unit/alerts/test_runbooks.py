"""The runbooks keep their form, and what they name is there."""

import ast
import contextlib
import io
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

import pytest

from service.api.gateway import ROUTES
from service.cli import main
from tests.promql import complaints
from tests.runbooks import FOLDER, HEADINGS, LIMITS, README, ROOT, Runbook, runbooks, spoken

MAX_LINES = 80
CLOSING_WORDS = ("**Do not**", "**Recovered when**", "**Escalate**")
LANGUAGES = {"sh", "sql", "promql", "log", "text"}
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_ROUTE = re.compile(r'(?:-X (\w+) )?"?\$API(/[^\s"?]*)')


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


def test_its_shell_can_be_read_and_calls_what_there_is(runbook: Runbook) -> None:
    for fence in runbook.fences("sh"):
        subprocess.run(["bash", "-n"], input=fence.text, text=True, check=True)
        for words in _calls(fence.text, "tapewatch"):
            assert words[0] in _subcommands(), words
        for words in _calls(fence.text, "make"):
            assert words[0] in _targets(), words
        for method, path in _ROUTE.findall(fence.text):
            assert _routes(f"/api/v1{path}"), f"{method} {path}"
        for path in re.findall(r"\$OPS(/\w+)", fence.text):
            assert path in ("/metrics", "/livez", "/readyz")


def test_the_lines_to_look_for_are_written_by_the_code(runbook: Runbook) -> None:
    for fence in runbook.fences("log"):
        for line in fence.text.splitlines():
            assert line in _texts(), line


def test_the_shell_is_set_up_as_bash_can_read_it() -> None:
    (block,) = re.findall(r"^```sh\n(.*?)^```$", README.read_text(encoding="utf-8"), re.M | re.S)
    subprocess.run(["bash", "-n"], input=block, text=True, check=True)


def _calls(text: str, command: str) -> list[list[str]]:
    """Return the words that follow a command, of each of its calls."""
    calls = re.findall(rf"(?:^|[/ (]){command} ([^\n|;)]*)", text, re.MULTILINE)
    return [shlex.split(call, posix=False) for call in calls]


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
def _routes(path: str) -> tuple[str, ...]:
    """Return the methods of the routes a path, with `$VARIABLES` for its parameters, leads to."""
    return tuple(
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
