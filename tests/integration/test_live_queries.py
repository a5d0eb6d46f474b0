"""Every query that is shipped, asked of a real Prometheus that watches a real service at work."""

import asyncio
import math
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from service.storage.embedded import EmbeddedPostgres, EmbeddedValkey
from tests.asked import (
    Asked,
    annotation_queries,
    panel_queries,
    recorded,
    rule_queries,
    runbook_queries,
    variable_queries,
)
from tests.drills.book import POOR, POOR_ACCOUNTS
from tests.integration.at_work import STOPPED_OUT, SYMBOL, watched_service
from tests.integration.watched import Known, Watched
from tests.promql import selectors
from tests.runbooks import FOLDER, ROOT, Runbook, runbooks, set_up

# What no fault from outside brings about within a minute, or takes engines in processes of their
# own; test_panels_fill.py moves these too.
EMPTY_BY_NATURE = {
    "tapewatch-loops: Abandoned and stuck: A",
    "tapewatch-loops: Abandoned and stuck: B",
    "tapewatch-loops: Overruns: A",
    "tapewatch-loops: Recoveries and long rows of errors: B",
    "tapewatch-loops: Restarts: A",
    "tapewatch-overview: Requests that failed unexpectedly: A",
    "tapewatch-process: Garbage collection pauses: A",
    "tapewatch-shards: Most less least: A",
    "tapewatch-shards: Without a leader: A",
    "tapewatch-shards: Without a leader: B",
}
SHELL_TIMEOUT_S = 240.0
PSQL_VARIABLES = {"account": 1, "order": 1, "deal": 1, "symbol": "EURUSD"}
COMMISSION = Decimal("2.00")  # of opening a lot
TOLERANCE = 0.15  # rates extrapolate to the ends of their windows
# A sum, by some labels or of all, of one metric: as it is, its rate, or its increase.
_COUNTING = re.compile(
    r"(?P<sum>sum (?:by \([^)]*\) )?\(|sum\()?"
    r"(?P<function>rate|increase)?(?P<open>\()?(?P<metric>\w+)(?:\{[^}]*\})?(?:\[[^\]]+\])?(?(open)\))(?(sum)\))"
)
_MISSES = re.compile(r"sum by \(cache\) \(rate\(tapewatch_cache_requests_total.*\) / sum")

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: EmbeddedPostgres,
    valkey_server: EmbeddedValkey,
) -> AsyncIterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    async with watched_service(folder, postgres_server, valkey_server) as found:
        yield found


@pytest.mark.parametrize("asked", panel_queries(), ids=str)
async def test_a_panel_shows_data(asked: Asked, watched: Watched) -> None:
    if asked.where in EMPTY_BY_NATURE:
        assert asked.may_be_empty, "it must say what it means when there is nothing"
        await _answers(asked, watched)
    else:
        await _assert_answered(asked, watched)


@pytest.mark.parametrize("asked", annotation_queries(), ids=str)
async def test_an_annotation_can_be_asked_for(asked: Asked, watched: Watched) -> None:
    await _answers(asked, watched)


@pytest.mark.parametrize("asked", runbook_queries(), ids=str)
async def test_a_query_of_a_runbook_is_answered(asked: Asked, watched: Watched) -> None:
    if asked.may_be_empty:
        await _answers(asked, watched)
    else:
        await _assert_answered(asked, watched)


@pytest.mark.parametrize("asked", rule_queries(), ids=str)
async def test_what_a_rule_looks_at_is_there(asked: Asked, watched: Watched) -> None:
    if asked.may_be_empty:
        await _answers(asked, watched)
    else:
        await _assert_answered(asked, watched)


@pytest.mark.parametrize(("where", "series", "label"), variable_queries())
async def test_a_variable_offers_values(
    where: str, series: str | None, label: str, watched: Watched
) -> None:
    query = Asked(where, series or "up").with_macros(watched.macros(watched.ended))
    values = {each["metric"].get(label) for each in await watched.instant(query, watched.ended)}
    assert values - {None}


async def test_no_query_hides_that_there_is_nothing() -> None:
    for asked in (*panel_queries(), *runbook_queries(), *rule_queries()):
        assert "vector(0)" not in asked.query.replace(" ", ""), asked


async def test_all_rules_are_evaluated_and_what_they_record_is_there(watched: Watched) -> None:
    answer = await watched.prometheus.get("/api/v1/rules")
    rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}
    for name in recorded():
        assert await watched.instant(name, watched.ended), name


async def test_of_a_service_that_is_well_nothing_is_told(watched: Watched) -> None:
    assert watched.fired_when_well == {"TapewatchWatchdog"}


async def test_panels_that_count_return_what_was_done(watched: Watched) -> None:
    counted = set()
    for known in watched.known:
        for asked in panel_queries():
            found = await _count(asked, known, watched)
            if found is None:
                continue
            counted.add(known.metric)
            assert found == pytest.approx(known.number, rel=TOLERANCE, abs=0.01), (known, asked)
    assert counted == {known.metric for known in watched.known}


async def test_alerts_and_runbooks_that_count_find_what_was_done(watched: Watched) -> None:
    counted = set()
    for known in watched.known:
        for asked in (*rule_queries(), *runbook_queries()):
            if "rate(" in asked.query:
                continue  # over minutes, of which only some seconds were lived
            found = await _count(asked, known, watched)
            if found is not None:
                counted.add(known.metric)
                assert found == pytest.approx(known.number, rel=TOLERANCE), (known, asked)
    assert "tapewatch_orders_closed_total" in counted


async def test_panels_of_cache_misses_show_the_share_that_missed(watched: Watched) -> None:
    macros = watched.macros(watched.counted)
    macros["__rate_interval"] = f"{int(watched.counted - watched.asked_of_cache)}s"
    panels = [asked for asked in panel_queries() if _MISSES.match(asked.query)]
    assert panels
    for asked in panels:
        shares = await watched.instant(asked.with_macros(macros), watched.counted)
        (share,) = (each for each in shares if each["metric"]["cache"] == "static_orders")
        assert float(share["value"][1]) == pytest.approx(0.5, rel=TOLERANCE)


async def test_the_statements_and_the_commands_of_the_diagnoses_work(watched: Watched) -> None:
    values = " ".join(f"-v {name}={value}" for name, value in PSQL_VARIABLES.items())
    lines: dict[str, str] = {}  # once, whoever gives the same
    for runbook in runbooks():
        for number, fence in enumerate(runbook.fences("sql"), 1):
            line = f"sql {values} <<'END'\n{fence.text}END\n"
            lines.setdefault(line, f"{runbook} sql {number}")
        for number, fence in enumerate(runbook.fences("sh"), 1):
            if fence.section == "Diagnosis":
                lines.setdefault(f"( {fence.text.strip()}\n)\n", f"{runbook} sh {number}")
    checked = [f"{line}[ $? = 0 ] || echo FAILED '{where}'\n" for line, where in lines.items()]
    said = await _in_a_shell(watched.with_addresses(set_up()) + "".join(checked), watched)
    assert "FAILED" not in said, said
    assert "urn:tapewatch:problem" not in said, said


async def test_a_bad_tick_is_taken_back_as_the_runbook_says(watched: Watched) -> None:
    runbook = Runbook(FOLDER / "TapewatchStopOutBurst.md")
    (commands,) = (each for each in runbook.fences("sh") if each.section == "Mitigation")
    text = f"{commands.text}\nadmin $API/admin/audit\n"
    for written, ours in (
        ("SYMBOL=EURUSD", f"SYMBOL={SYMBOL}"),
        (r"FROM='[^']*'", f"FROM='{datetime.fromtimestamp(watched.began, UTC)}'"),
        (r"TO='[^']*'", f"TO='{datetime.fromtimestamp(watched.counted, UTC)}'"),
    ):
        text, replaced = re.subn(written, ours, text)
        assert replaced == 1, written
    said = await _in_a_shell(watched.with_addresses(set_up()) + text, watched)
    assert said.count('"kind":"CORRECTED"') == STOPPED_OUT, said
    for account_id in POOR_ACCOUNTS[:STOPPED_OUT]:
        account = await watched.traders.call(account_id, "GET", "/account")
        assert Decimal(account["balance"]) == POOR - COMMISSION
        assert len(account["positions"]) == 1


async def _in_a_shell(text: str, watched: Watched) -> str:
    """Run lines in bash, in the environment of the service, and return what they print."""
    bash = await asyncio.create_subprocess_exec(
        *("bash", "-u", "-o", "pipefail", "-c", text),
        cwd=ROOT,
        env=watched.service.environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(bash.communicate(), SHELL_TIMEOUT_S)
    assert bash.returncode == 0, said.decode()
    return said.decode()


async def _assert_answered(asked: Asked, watched: Watched) -> None:
    values = await _answers(asked, watched)
    assert values
    assert any(math.isfinite(value) for value in values)


async def _answers(asked: Asked, watched: Watched) -> list[float]:
    """Ask for it as Grafana does, and return all values."""
    query, end = asked.with_macros(watched.macros(watched.ended)), watched.ended
    if asked.is_range:
        drawn = await watched.drawn(query, watched.began, end)
        return [float(value) for each in drawn for _, value in each["values"]]
    return [float(each["value"][1]) for each in await watched.instant(query, end)]


async def _count(asked: Asked, known: Known, watched: Watched) -> float | None:
    """Return how many a panel counts of what is known, None where it does not ask just that.

    A rate is counted by the area below it.
    """
    macros = watched.macros(watched.counted)
    query = " ".join(asked.with_macros(macros).split())
    counting = _COUNTING.fullmatch(query)
    if counting is None or counting["metric"] != known.metric:
        return None
    ((_, matchers),) = selectors(query)
    pinned = {name: value for name, (_, value) in matchers.items()}
    if any(pinned.get(name, value) != value for name, value in known.labels.items()):
        return None
    if counting["function"] == "rate":
        drawn = await watched.drawn(query, watched.began, watched.counted)
        return sum(
            float(value) for each in drawn if _fits(each, known) for _, value in each["values"]
        )
    instant = await watched.instant(query, watched.counted)
    return sum(float(each["value"][1]) for each in instant if _fits(each, known))


def _fits(series: dict[str, Any], known: Known) -> bool:
    metric = series["metric"]
    return all(metric.get(name, value) == value for name, value in known.labels.items())
