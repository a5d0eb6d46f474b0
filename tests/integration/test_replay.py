"""Replays in process: deals to the cent, refusals by reason, starting anew and resuming."""

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from loguru import logger

from service.instruments import Instruments
from service.replay import Replay, plan_replay
from service.servers import Servers
from service.storage import replays
from service.storage.database import apply_migrations
from service.storage.replays import DEAL_COLUMNS, Inputs, replay_dsn
from telemetry import catalogue
from tests.adversity.book import execute, fetch
from tests.integration.replayed import (
    COUNTS,
    ORDERS,
    TICKS,
    lines_of,
    read_deals,
    replay,
    write_ticks,
)
from tests.unit.scenario.folders import GOOD, write_folder


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
    expected = {
        "ticks": len(TICKS),
        "refused": {},
        "triggered": 6,
        "opened": 3,
        "closed": {"STOP_LOSS": 1, "TAKE_PROFIT": 1},
        "cancelled": {"INSUFFICIENT_MARGIN": 1},
        "missed_triggers": 0,
        "failed_decisions": 0,
        "ledger_balanced": True,
    }
    assert {name: summary[name] for name in expected} == expected


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
    assert {reason: counted.child(reason).now for reason in expected} == expected
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
