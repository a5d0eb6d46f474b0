"""Replays of all kinds of orders: the deals by hand, and the same ones after an interruption."""

from pathlib import Path

import pytest

from service.loops.sweep import Sweeps
from service.loops.trading import Trading
from service.scenario.make import make_scenario
from service.servers import Servers
from service.storage import replays
from tests.integration.replayed import lines_of, read_deals, replay, write_ticks
from tests.unit.scenario.folders import GOOD, write_folder
from tests.unit.scenario.test_options import optional

DAY = "2019-01-01T23:"


class Crash(Exception):
    """The process went away."""


async def test_stop_limit_trailing_and_expiry_by_hand(servers: Servers, tmp_path: Path) -> None:
    """Account 2 trades EURUSD without markup, and is filled at the prices it asked for."""
    folder = write_folder(
        tmp_path / "scenario",
        {
            "orders.csv": [
                f"{GOOD['orders.csv'][0]},limit_price,trailing_distance,expires_at",
                "late,2,EURUSD,BUY_LIMIT,0.01,1.14000,,,,,PT2S",
                "both,2,EURUSD,BUY_STOP_LIMIT,0.01,1.14700,,,1.14650,100,",
            ],
            **optional("symbols.csv", "sessions", ['"UTC: Mon-Sun 00:00-23:59"']),
        },
    )
    ticks = write_ticks(
        tmp_path / "ticks.csv",
        f"{DAY}00:00Z,EURUSD,1.14600,1.14610",
        f"{DAY}00:01Z,EURUSD,1.14690,1.14700",  # the stop is reached
        f"{DAY}00:02Z,EURUSD,1.13900,1.13910",  # both limits: one expired, the other fills
        f"{DAY}00:03Z,EURUSD,1.14200,1.14210",  # trails to 1.14100
        f"{DAY}00:04Z,EURUSD,1.14150,1.14160",
        f"{DAY}59:01Z,EURUSD,1.13000,1.13010",  # the session is over
    )
    deals = tmp_path / "deals.csv"
    summary = await replay(servers, folder, ticks, deals)
    assert summary["refused"] == {"session_closed": 1}
    told = [
        (deal["client_order_id"], deal["event"], deal["reason"], deal["price"])
        for deal in read_deals(deals)
    ]
    assert told == [
        ("late", "CANCEL", "EXPIRED", ""),
        ("both", "OPEN", "BUY_STOP_LIMIT", "1.14650"),
    ]
    reopened = write_ticks(
        tmp_path / "more.csv", *lines_of(ticks)[1:-1], f"{DAY}00:05Z,EURUSD,1.14100,1.14110"
    )
    await replay(servers, folder, reopened, deals)
    [*_, last] = read_deals(deals)
    assert (last["reason"], last["price"], last["profit"]) == ("STOP_LOSS", "1.14100", "-5.50")


@pytest.fixture
def busy(tmp_path: Path) -> Path:
    """A scenario that stops accounts out, trails and expires, over two minutes of ticks."""
    folder = tmp_path / "busy"
    make_scenario(folder, seed=3, accounts=30, groups=3, orders=800, symbols=6, ticks=6_000)
    groups = lines_of(folder / "groups.csv")
    levels = [line.split(",") for line in groups[1:]]
    raised = [",".join((name, "2000", "1500", *rest)) for name, _, _, *rest in levels]
    orders = lines_of(folder / "orders.csv")
    kinds = ("60,", ",PT1M", ",", ",")
    changed = [f"{line},{kinds[number % 4]}" for number, line in enumerate(orders[1:])]
    market = [
        line if line.split(",")[3] not in ("BUY", "SELL") else f"{line.rsplit(',', 2)[0]},,"
        for line in changed
    ]
    (folder / "groups.csv").write_text("\n".join([groups[0], *raised]) + "\n")
    header = f"{orders[0]},trailing_distance,expires_at"
    (folder / "orders.csv").write_text("\n".join([header, *market]) + "\n")
    return folder


@pytest.mark.parametrize("at", [700, 3_100, 5_900, None])
async def test_an_interrupted_replay_of_all_kinds_ends_the_same(
    at: int | None,
    servers: Servers,
    busy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """None: interrupted behind its last tick."""
    ticks = busy / "ticks.csv"
    whole, resumed = tmp_path / "whole.csv", tmp_path / "resumed.csv"
    summary = await replay(servers, busy, ticks, whole)
    assert summary["closed"]["STOP_OUT"] > 0
    assert summary["cancelled"]["EXPIRED"] > 0
    assert summary["missed_triggers"] == 0
    await _crash(at, servers, busy, tmp_path, monkeypatch)
    again = await replay(servers, busy, ticks, resumed)
    assert again["missed_triggers"] == 0
    assert resumed.read_bytes() == whole.read_bytes()


async def test_a_resumed_replay_sweeps_once_it_has_caught_up(
    servers: Servers, busy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then its prices are old and its orders new: what looks crossed never was."""
    await _crash(None, servers, busy, tmp_path, monkeypatch)
    judged = 0
    judged_before_sweeps: list[int] = []
    take, sweep = Trading.on_quote_at, Sweeps.run_once

    def judge(self: Trading, *arguments: object) -> object:
        nonlocal judged
        judged += 1
        return take(self, *arguments)  # type: ignore[arg-type]

    async def watched(self: Sweeps) -> None:
        judged_before_sweeps.append(judged)
        await sweep(self)

    monkeypatch.setattr(Trading, "on_quote_at", judge)
    monkeypatch.setattr(Sweeps, "run_once", watched)
    await replay(servers, busy, busy / "ticks.csv", tmp_path / "deals.csv")
    assert 0 not in judged_before_sweeps
    assert judged_before_sweeps


async def _crash(
    at: int | None,
    servers: Servers,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Replay up to tick `at`, or to the end without noting that it came to it."""
    fed = 0
    take = Trading.on_quote_at

    def crash(self: Trading, *arguments: object) -> object:
        nonlocal fed
        fed += 1
        if fed == at:
            raise Crash
        return take(self, *arguments)  # type: ignore[arg-type]

    async def lose(connection: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Trading, "on_quote_at", crash)
        patch.setattr(replays, "finish", lose)
        with pytest.raises((Crash, ExceptionGroup)):
            await replay(servers, folder, folder / "ticks.csv", tmp_path / "lost.csv")
