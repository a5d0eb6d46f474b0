"""The command `tapewatch replay`: real ticks on many orders, and what it refuses."""

import asyncio
import csv
import json
import re
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from service.replay import plan_replay
from service.scenario.fault import ScenarioError
from service.scenario.make import make_scenario
from service.servers import Servers
from service.storage.replays import DATABASE, replay_dsn
from tests.adversity.book import check_book, fetch
from tests.integration.replayed import ORDERS, read_deals
from tests.service_process import COMMAND, ROOT, environment
from tests.unit.scenario.folders import with_line, write_folder

REAL_TICKS = ROOT.parent / "shared" / "data" / "fx-ticks-2019-01-01.csv"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "scenario", ORDERS)


# On real ticks


@pytest.mark.skipif(not REAL_TICKS.exists(), reason="there are no real ticks beside the project")
async def test_real_ticks_on_many_orders_end_balanced_and_the_same_every_time(
    servers: Servers, tmp_path: Path
) -> None:
    folder = tmp_path / "scenario"
    make_scenario(
        folder,
        seed=1,
        accounts=2_000,
        groups=20,
        orders=20_000,
        symbols=2,
        ticks=0,
        ticks_file=REAL_TICKS,
    )
    env = command_environment(tmp_path, servers)
    told = []
    for name in ("first.csv", "second.csv"):
        code, out, err = await command(
            "replay", folder, "--ticks", REAL_TICKS, "--deals", tmp_path / name, env=env
        )
        assert code == 0, err
        assert "tick/s" in err, "it shows its progress"
        told.append(json.loads(out))
    assert (tmp_path / "first.csv").read_bytes() == (tmp_path / "second.csv").read_bytes()
    for summary in told:
        assert summary["ticks"] == 20_000
        assert summary["refused"] == {}
        assert summary["ledger_balanced"] is True
        assert summary["missed_triggers"] == 0
        assert 0 < summary["tick_to_commit_p50_ms"] <= summary["tick_to_commit_p99_ms"]

    deals = read_deals(tmp_path / "first.csv")
    assert len(deals) > 10_000
    assert [deal["sequence"] for deal in deals] == [str(n) for n in range(1, len(deals) + 1)]
    check_format(deals)
    check_summary(told[0], deals)
    balances = fold(folder / "accounts.csv", deals)
    dsn = replay_dsn(servers.database_dsn)
    stored = await fetch(dsn, "SELECT account_id, balance FROM accounts")
    assert dict(stored) == balances
    await check_book(dsn)


def check_format(deals: list[dict[str, str]]) -> None:
    """Assert that prices carry their symbol's digits, money cents, times milliseconds."""
    prices = {"EURUSD": r"\d+\.\d{5}", "USDJPY": r"\d+\.\d{3}"}
    for deal in deals:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", deal["time"]), deal
        for name in ("profit", "commission", "balance_after"):
            assert re.fullmatch(r"-?\d+\.\d\d", deal[name]), deal
        if deal["event"] == "CANCEL":
            assert (deal["volume"], deal["price"], deal["slippage_points"]) == ("", "", "")
            assert (deal["profit"], deal["commission"]) == ("0.00", "0.00")
        else:
            assert re.fullmatch(prices[deal["symbol"]], deal["price"]), deal
            assert re.fullmatch(r"\d+\.\d\d", deal["volume"]), deal
            assert re.fullmatch(r"-?\d+", deal["slippage_points"]), deal


def check_summary(summary: dict[str, Any], deals: list[dict[str, str]]) -> None:
    """Assert that a summary counts what the deals tell."""
    counts = Counter((deal["event"], deal["reason"]) for deal in deals)
    assert summary["triggered"] == len(deals)
    assert summary["opened"] == sum(n for (event, _), n in counts.items() if event == "OPEN")
    for event, name in (("CLOSE", "closed"), ("CANCEL", "cancelled")):
        assert summary[name] == {why: n for (kind, why), n in counts.items() if kind == event}


def fold(accounts: Path, deals: list[dict[str, str]]) -> dict[int, Decimal]:
    """Return the balances that deals lead to, asserting each deal's own on the way."""
    with accounts.open(encoding="utf-8", newline="") as file:
        balances = {int(row["account_id"]): Decimal(row["balance"]) for row in csv.DictReader(file)}
    for deal in deals:
        account = int(deal["account_id"])
        balances[account] += Decimal(deal["profit"]) - Decimal(deal["commission"])
        assert Decimal(deal["balance_after"]) == balances[account], deal
    return balances


# What is refused, and what is brought


async def test_a_bad_scenario_is_refused_before_anything_is_started(
    servers: Servers, tmp_path: Path
) -> None:
    changes = with_line("orders.csv", "late,1,EURUSD,BUY_LIMIT,0.10,1.145001,,", at=3)
    changes |= with_line("accounts.csv", "3,live,silver,100,1.00")
    folder = write_folder(tmp_path / "bad", changes)
    env = command_environment(tmp_path, servers)
    deals = tmp_path / "deals.csv"
    code, out, err = await command("replay", folder, "--deals", deals, env=env)
    assert (code, out) == (2, "")
    assert err.startswith("tapewatch: nothing was loaded")
    assert "  orders.csv:3: price: " in err
    assert "  accounts.csv:4: group: " in err
    assert "Traceback" not in err
    known = "SELECT count(*) FROM pg_database WHERE datname = $1"
    assert await fetch(servers.database_dsn, known, DATABASE) == [(0,)]
    assert not deals.exists()
    assert not (tmp_path / "data").exists()


def test_ticks_that_are_not_there_are_refused_before_anything_is_started(folder: Path) -> None:
    with pytest.raises(ScenarioError, match=r"no\.csv:1: must be a readable file"):
        plan_replay(folder, folder / "no.csv", None, None)
    (folder / "ticks.csv").unlink()
    with pytest.raises(ScenarioError, match=r"ticks\.csv:1: must be a readable file"):
        plan_replay(folder, None, None, None)


def test_deals_that_cannot_be_written_are_refused_before_anything_is_started(folder: Path) -> None:
    for path in (folder / "nowhere" / "deals.csv", folder):
        with pytest.raises(ScenarioError, match=f"{path.name}:1: must be a file that can be writ"):
            plan_replay(folder, None, None, path)


async def test_a_replay_alone_brings_its_own_servers(folder: Path, tmp_path: Path) -> None:
    deals = tmp_path / "deals.csv"
    env = environment(tmp_path / "data")
    code, out, err = await command("replay", folder, "--deals", deals, env=env)
    assert code == 0, err
    check_summary(json.loads(out), read_deals(deals))


def command_environment(tmp_path: Path, servers: Servers) -> dict[str, str]:
    return environment(
        tmp_path / "data", DATABASE_URL=servers.database_dsn, REDIS_URL=servers.redis_url
    )


async def command(*arguments: str | Path, env: dict[str, str]) -> tuple[int | None, str, str]:
    """Run `tapewatch` to its end; return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *map(str, arguments),
        cwd=ROOT,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, out.decode(), err.decode()
