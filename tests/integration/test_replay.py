"""Replays: what they make of a scenario and its ticks, to the last cent and the last byte."""

import asyncio
import csv
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from loguru import logger

from service.instruments import Instruments
from service.replay import Replay, plan_replay
from service.scenario.fault import ScenarioError
from service.scenario.make import make_scenario
from service.servers import Servers
from service.storage import replays
from service.storage.database import apply_migrations
from service.storage.embedded import EmbeddedPostgres
from service.storage.replays import DATABASE, DEAL_COLUMNS, Inputs, replay_dsn
from telemetry import catalogue
from tests.adversity.book import check_book, execute, fetch
from tests.service_process import COMMAND, ROOT, environment
from tests.unit.scenario.folders import GOOD, with_line, write_folder

REAL_TICKS = ROOT.parent / "shared" / "data" / "fx-ticks-2019-01-01.csv"
TICK_HEADER = GOOD["ticks.csv"][0]
# Group gold marks EURUSD up by 13 points and USDJPY by 20, raw EURUSD by none.
ORDERS = {
    "orders.csv": [
        GOOD["orders.csv"][0],
        "limit,1,EURUSD,BUY_LIMIT,0.10,1.14600,1.14400,1.14700",
        "stop,1,USDJPY,SELL_STOP,1,109.500,109.700,",
        "market,2,EURUSD,SELL,0.01,,1.15000,",
        ",2,EURUSD,BUY_STOP,50,1.14650,,",
    ]
}
COUNTS = ("ticks", "refused", "triggered", "opened", "closed", "cancelled")
TICKS = (
    "2019-01-01T23:00:00.071Z,USDJPY,109.676,109.687",
    "2019-01-01T23:00:00.078Z,EURUSD,1.14605,1.14643",
    "2019-01-01T23:00:01.500Z,EURUSD,1.14570,1.14580",
    "2019-01-01T23:00:02Z,USDJPY,109.450,109.460",
    "2019-01-01T23:00:03.999999Z,EURUSD,1.14720,1.14730",
    "2019-01-01T23:00:04.000Z,USDJPY,109.710,109.720",
)


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def read_deals(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_ticks(path: Path, *ticks: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in (TICK_HEADER, *ticks)), encoding="utf-8")
    return path


@pytest.fixture
async def servers(postgres_server: EmbeddedPostgres, redis_url: str) -> AsyncIterator[Servers]:
    """The run's servers; the replay database goes with the test."""
    yield Servers(postgres_server.dsn, redis_url)
    await execute(postgres_server.dsn, f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")


@pytest.fixture
def resumed() -> Iterator[list[str]]:
    """What was logged on resuming."""
    told: list[str] = []
    sink = logger.add(
        lambda line: told.append(str(line)) if "resuming" in line else None, level="INFO"
    )
    yield told
    logger.remove(sink)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "scenario", ORDERS)


async def replay(
    servers: Servers,
    folder: Path,
    ticks: Path,
    deals: Path,
    *,
    speed: float | None = None,
    instruments: Instruments | None = None,
) -> dict[str, Any]:
    plan = plan_replay(folder, ticks, speed, deals)
    return await Replay(plan, servers, instruments or Instruments()).run()


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
    check_summary(told[0], deals)
    balances = fold(folder / "accounts.csv", deals)
    dsn = replay_dsn(servers.database_dsn)
    stored = await fetch(dsn, "SELECT account_id, balance FROM accounts")
    assert dict(stored) == balances
    await check_book(dsn)


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


# What is told


async def test_deals_are_told_to_the_cent_and_the_point(
    servers: Servers, folder: Path, tmp_path: Path
) -> None:
    """By hand: the gold group buys EURUSD 7 points above the ask and sells 6 below the bid."""
    ticks = write_ticks(tmp_path / "ticks.csv", *TICKS)
    summary = await replay(servers, folder, ticks, tmp_path / "deals.csv")
    assert lines_of(tmp_path / "deals.csv") == [
        "sequence,time,client_order_id,account_id,symbol,event,reason,volume,price,"
        "slippage_points,profit,commission,balance_after",
        "1,2019-01-01T23:00:00.078Z,market,2,EURUSD,OPEN,SELL,0.01,1.14605,0,0.00,0.00,250.50",
        "2,2019-01-01T23:00:01.500Z,limit,1,EURUSD,OPEN,BUY_LIMIT,"
        "0.10,1.14587,-13,0.00,0.35,9999.65",
        "3,2019-01-01T23:00:02.000Z,stop,1,USDJPY,OPEN,SELL_STOP,1.00,109.440,60,0.00,3.00,9996.65",
        "4,2019-01-01T23:00:03.999Z,limit,1,EURUSD,CLOSE,TAKE_PROFIT,"
        "0.10,1.14714,-14,12.70,0.00,10009.35",
        "5,2019-01-01T23:00:03.999Z,,2,EURUSD,CANCEL,INSUFFICIENT_MARGIN,,,,0.00,0.00,250.50",
        "6,2019-01-01T23:00:04.000Z,stop,1,USDJPY,CLOSE,STOP_LOSS,"
        "1.00,109.730,30,-264.33,3.00,9742.02",
    ]
    del summary["ticks_per_second"], summary["tick_to_commit_p50_ms"]
    del summary["tick_to_commit_p99_ms"]
    assert summary == {
        "ticks": len(TICKS),
        "refused": {},
        "triggered": 6,
        "opened": 3,
        "closed": {"STOP_LOSS": 1, "TAKE_PROFIT": 1},
        "cancelled": {"INSUFFICIENT_MARGIN": 1},
        "missed_triggers": 0,
        "ledger_balanced": True,
    }


async def test_refused_ticks_are_counted_by_reason_and_trigger_nothing(
    servers: Servers, folder: Path, tmp_path: Path
) -> None:
    refused = [
        "2019-01-01T23:00:05.000Z,EURUSD,1.10000,1.1000",  # fine: the first of them sets the time
        "2019-01-01T23:00:04.999Z,EURUSD,1.00000,1.00010",  # out of order
        "2019-01-01T23:00:06.000Z,EURUSD,1.20010,1.20000",  # crossed
        "2019-01-01T23:00:06.000Z,EURUSD,0,1.20000",  # not positive
        "2019-01-01T23:00:06.000Z,EURUSD,-1.2,1.2",  # not positive
        "2019-01-01T23:00:06.000Z,GBPUSD,1.2,1.3",  # unknown
        "2019-01-01T23:00:06.000Z,EURUSD,1.2",  # malformed, as are all that follow
        "2019-01-01T23:00:06.000Z,EURUSD,1.2,1.3,1.4",
        "2019-01-01T23:00:06.000Z,EURUSD,1.200001,1.3",
        "2019-01-01T23:00:06.000Z,EURUSD,one,1.3",
        "yesterday,EURUSD,1.2,1.3",
        "2019-01-01T23:00:06.000Z,,1.2,1.3",
    ]
    ticks = write_ticks(tmp_path / "ticks.csv", *refused)
    instruments = Instruments()
    deals = tmp_path / "deals.csv"
    summary = await replay(servers, folder, ticks, deals, instruments=instruments)
    expected = {
        "crossed": 1,
        "malformed": 6,
        "not_positive": 2,
        "out_of_order": 1,
        "unknown_symbol": 1,
    }
    assert summary["refused"] == expected
    counted = instruments.metrics.counter(catalogue.QUOTES_REFUSED)
    assert {reason: counted.child(reason).value for reason in expected} == expected
    assert summary["ticks"] == len(refused) - expected["malformed"]
    assert {deal["time"] for deal in read_deals(deals)} == {"2019-01-01T23:00:05.000Z"}


async def test_ticks_without_a_quote_leave_the_book_as_it_was(
    servers: Servers, folder: Path, tmp_path: Path
) -> None:
    deals = tmp_path / "deals.csv"
    summary = await replay(servers, folder, write_ticks(tmp_path / "none.csv"), deals)
    assert (summary["ticks"], summary["triggered"]) == (0, 0)
    assert summary["tick_to_commit_p50_ms"] is None
    assert summary["ledger_balanced"] is True
    assert lines_of(deals) == [",".join(DEAL_COLUMNS)]


async def test_a_scenario_without_symbols_refuses_every_tick(
    servers: Servers, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "bare", {name: lines[:1] for name, lines in GOOD.items()})
    ticks = write_ticks(tmp_path / "ticks.csv", *TICKS * 100)
    summary = await replay(servers, folder, ticks, tmp_path / "deals.csv")
    assert summary["refused"] == {"unknown_symbol": len(TICKS) * 100}


@pytest.mark.parametrize("speed", [1.0, 10.0])
async def test_the_speed_changes_no_deal(
    speed: float, servers: Servers, folder: Path, tmp_path: Path
) -> None:
    quick = (
        f"2019-01-01T23:00:00.{number * 20:03d}Z,{line.partition(',')[2]}"
        for number, line in enumerate(TICKS)
    )
    ticks = write_ticks(tmp_path / "ticks.csv", *quick)
    whole, slow = tmp_path / "whole.csv", tmp_path / "slow.csv"
    await replay(servers, folder, ticks, whole)
    summary = await replay(servers, folder, ticks, slow, speed=speed)
    assert summary["ticks"] == len(TICKS)
    assert len(lines_of(whole)) > 3
    assert slow.read_bytes() == whole.read_bytes()


async def test_ticks_of_the_folder_are_replayed_where_no_others_are_named(
    servers: Servers, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "scenario", ORDERS)
    plan = plan_replay(folder, None, None, None)
    assert plan.ticks == folder / "ticks.csv"
    summary = await Replay(plan, servers, Instruments()).run()
    assert summary["ticks"] == 2


# Starting anew and resuming


async def test_a_finished_replay_starts_anew(
    servers: Servers, folder: Path, tmp_path: Path, resumed: list[str]
) -> None:
    ticks = write_ticks(tmp_path / "ticks.csv", *TICKS)
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    told = await replay(servers, folder, ticks, first)
    again = await replay(servers, folder, ticks, second)
    assert resumed == []
    assert second.read_bytes() == first.read_bytes()
    assert {name: again[name] for name in COUNTS} == {name: told[name] for name in COUNTS}
    dsn = replay_dsn(servers.database_dsn)
    assert await fetch(dsn, "SELECT is_finished FROM replays") == [(True,)]


async def test_what_was_interrupted_behind_its_last_deal_decides_nothing_twice(
    servers: Servers, folder: Path, tmp_path: Path, resumed: list[str]
) -> None:
    ticks = write_ticks(tmp_path / "ticks.csv", *TICKS)
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    told = await replay(servers, folder, ticks, first)
    await interrupt(servers)
    again = await replay(servers, folder, ticks, second)
    assert len(resumed) == 1
    assert second.read_bytes() == first.read_bytes()
    assert {name: again[name] for name in COUNTS} == {name: told[name] for name in COUNTS}


@pytest.mark.parametrize("changed", ["orders.csv", "ticks"])
async def test_another_scenario_or_other_ticks_do_not_resume(
    changed: str, servers: Servers, folder: Path, tmp_path: Path, resumed: list[str]
) -> None:
    ticks = write_ticks(tmp_path / "ticks.csv", *TICKS)
    await replay(servers, folder, ticks, tmp_path / "first.csv")
    await interrupt(servers)
    if changed == "ticks":
        write_ticks(ticks, *TICKS[:-1])
    else:
        write_folder(folder, {"orders.csv": ORDERS["orders.csv"][:-1]})
    second, fresh = tmp_path / "second.csv", tmp_path / "fresh.csv"
    await replay(servers, folder, ticks, second)
    assert resumed == []
    assert len(lines_of(second)) == len(TICKS)  # one deal less than before
    await replay(servers, folder, ticks, fresh)
    assert second.read_bytes() == fresh.read_bytes()


async def interrupt(servers: Servers) -> None:
    """Leave the replay database as a replay does that is killed just before its end."""
    dsn = replay_dsn(servers.database_dsn)
    await execute(dsn, "UPDATE replays SET is_finished = false")


async def test_only_an_unfinished_replay_of_the_same_inputs_is_an_interrupted_one(
    postgres_dsn: str,
) -> None:
    inputs = Inputs("scenario", "ticks")
    nowhere = f"{postgres_dsn}_that_is_not_there"
    assert not await replays.is_interrupted(nowhere, inputs)
    assert not await replays.is_interrupted(postgres_dsn, inputs)  # no tables
    await apply_migrations(postgres_dsn)
    assert not await replays.is_interrupted(postgres_dsn, inputs)
    connection = await asyncpg.connect(postgres_dsn)
    try:
        await replays.begin(connection, inputs)
        assert await replays.is_interrupted(postgres_dsn, inputs)
        assert not await replays.is_interrupted(postgres_dsn, Inputs("scenario", "others"))
        assert not await replays.is_interrupted(postgres_dsn, Inputs("other", "ticks"))
        await replays.finish(connection)
        assert not await replays.is_interrupted(postgres_dsn, inputs)
    finally:
        await connection.close()


def test_a_digest_tells_contents_names_and_their_order_apart(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.csv", "b.csv")]
    for path in paths:
        path.write_text("the same")
    before = replays.digest(*paths)
    assert replays.digest(*paths) == before
    assert replays.digest(*reversed(paths)) != before
    assert replays.digest(paths[0]) != replays.digest(paths[1])
    paths[1].write_text("other")
    assert replays.digest(*paths) != before


# The command


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
