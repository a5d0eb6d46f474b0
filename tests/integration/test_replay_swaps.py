"""Swaps in replays: charged on the time of the ticks, before the first one after a rollover."""

from decimal import Decimal
from pathlib import Path

import pytest

from service.servers import Servers
from service.storage import replays
from service.storage.replays import replay_dsn
from tests.adversity.book import execute, fetch
from tests.integration.replayed import read_deals, replay, write_ticks
from tests.unit.scenario.folders import GOOD, write_folder

# 17:00 in New York is 22:00 UTC; the second of January 2019 was a Wednesday.
TICKS = (
    "2019-01-02T21:00:00Z,EURUSD,1.14600,1.14610",
    "2019-01-02T21:00:01Z,USDJPY,109.000,109.010",
    "2019-01-02T21:59:59.999999999Z,EURUSD,1.14600,1.14610",
    "2019-01-02T22:00:00Z,USDJPY,109.000,109.010",
    "2019-01-02T22:00:01Z,USDJPY,90.000,90.010",
    "2019-01-02T22:00:02Z,EURUSD,1.14600,1.14610",
    "2019-01-03T22:00:00Z,EURUSD,1.15600,1.15610",  # closes at its take profit
    "2019-01-03T22:00:01Z,USDJPY,90.000,90.010",
)
SWAPS = """
SELECT account_id, order_id, amount, balance_after, time FROM ledger
WHERE kind = 'SWAP' ORDER BY entry_id
"""
WEDNESDAY, THURSDAY = 1_546_466_400 * 10**9, 1_546_552_800 * 10**9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Group gold pays 7.1 points a night for EURUSD and half a point for USDJPY."""
    terms = [line.replace("0.003,-1,0,0.5", "0,-0.5,0,0.5") for line in GOOD["group_symbols.csv"]]
    return write_folder(
        tmp_path / "scenario",
        {
            "orders.csv": [
                GOOD["orders.csv"][0],
                "euro,1,EURUSD,BUY,0.10,,,1.15500",
                "yen,1,USDJPY,BUY,0.01,,,",
            ],
            "group_symbols.csv": [line.replace("3.50", "0") for line in terms],
        },
    )


async def swaps(servers: Servers) -> list[tuple[object, ...]]:
    return await fetch(replay_dsn(servers.database_dsn), SWAPS)


async def test_swaps_by_hand(servers: Servers, folder: Path, tmp_path: Path) -> None:
    """Three nights of 0.71 USD on Wednesday, one on Thursday.

    Half a point of 0.01 lot USDJPY is half a yen a night: on Wednesday 1.5 / 109.010 = 0.0138 USD,
    on Thursday 0.5 / 90 = 0.0056 USD.
    """
    ticks = write_ticks(tmp_path / "ticks.csv", *TICKS)
    deals = tmp_path / "deals.csv"
    summary = await replay(servers, folder, ticks, deals)
    assert await swaps(servers) == [
        (1, 1, Decimal("-2.13"), Decimal("9997.87"), WEDNESDAY),
        (1, 2, Decimal("-0.01"), Decimal("9997.86"), WEDNESDAY),
        (1, 1, Decimal("-0.71"), Decimal("9997.15"), THURSDAY),
        (1, 2, Decimal("-0.01"), Decimal("9997.14"), THURSDAY),
    ]
    [*_, closed] = read_deals(deals)
    # Bought at 1.14617 (7 points above the ask), sold at 1.15594: 97.70 USD, swaps apart.
    assert (closed["reason"], closed["profit"], closed["balance_after"]) == (
        "TAKE_PROFIT",
        "97.70",
        "10094.84",
    )
    assert summary["ledger_balanced"] is True
    assert summary["swaps_charged"] == 4


async def test_a_position_opened_by_the_tick_of_a_rollover_owes_nothing_for_it(
    servers: Servers, folder: Path, tmp_path: Path
) -> None:
    ticks = write_ticks(
        tmp_path / "ticks.csv",
        "2019-01-02T21:59:59Z,USDJPY,109.000,109.010",
        "2019-01-02T22:00:00Z,EURUSD,1.14600,1.14610",
        "2019-01-03T22:00:00Z,GBPUSD,1.1,1.2",  # none of these symbols, but the day is over
    )
    await replay(servers, folder, ticks, tmp_path / "deals.csv")
    charged = [(order_id, time) for _, order_id, _, _, time in await swaps(servers)]
    # The euro was opened by that very tick; the yen comes to nothing in a single night.
    assert charged == [(2, WEDNESDAY), (1, THURSDAY)]


@pytest.mark.parametrize("swap", ["-0.5", "-0.15"])
async def test_wherever_it_was_interrupted_the_same_swaps_are_charged(
    swap: str, servers: Servers, folder: Path, tmp_path: Path
) -> None:
    """At -0.15 the yen's first rollover comes to nothing, which is not stored."""
    terms = folder / "group_symbols.csv"
    terms.write_text(terms.read_text().replace("-0.5,0,0.5", f"{swap},0,0.5"))
    ticks = write_ticks(tmp_path / "ticks.csv", *TICKS)
    whole, resumed = tmp_path / "whole.csv", tmp_path / "resumed.csv"
    await replay(servers, folder, ticks, whole)
    charged = await swaps(servers)
    (tmp_path / "part").mkdir()
    for cut in range(1, len(TICKS)):
        part = write_ticks(tmp_path / "part" / "ticks.csv", *TICKS[:cut])
        await replay(servers, folder, part, resumed)
        dsn = replay_dsn(servers.database_dsn)
        digest = replays.digest(ticks)
        await execute(dsn, f"UPDATE replays SET is_finished = false, ticks = '{digest}'")
        await replay(servers, folder, ticks, resumed)
        assert resumed.read_bytes() == whole.read_bytes()
        assert await swaps(servers) == charged
