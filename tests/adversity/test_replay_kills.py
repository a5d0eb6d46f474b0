"""A replay that is killed and resumed makes the same deals as one that is left alone."""

import asyncio
import csv
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import asyncpg
import pytest

from service.scenario.make import make_scenario
from service.storage.embedded import EmbeddedPostgres
from service.storage.replays import DATABASE, replay_dsn
from service.verify.verification import verify
from tests.adversity.book import fetch
from tests.adversity.interrupted_replay import ReplayCommand, arm_commit
from tests.faultproxy import FaultProxy, Moment
from tests.proxied import in_front_of, through

# Chains of kills: three of ten, five of which each are certain to hit a commit.
SEEDS = (11, 12, 13)
RANDOM_KILLS = 5
KILLS_BEFORE_COMMIT = 2
KILLS_BEFORE_REPLY = 3
STRETCH = 900
KILLS = RANDOM_KILLS + KILLS_BEFORE_COMMIT + KILLS_BEFORE_REPLY


@pytest.fixture
async def proxy(postgres_server: EmbeddedPostgres) -> AsyncIterator[FaultProxy]:
    async with in_front_of(postgres_server.dsn) as proxy:
        yield proxy
    connection = await asyncpg.connect(postgres_server.dsn)
    await connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
    await connection.close()


def scenario_of(folder: Path, seed: int) -> Path:
    """Make a scenario that replays in a few seconds: four days with bursts of triggers and swaps.

    Some positions trail their stop loss, some orders expire, and some accounts cannot bear theirs.
    """
    make_scenario(folder, seed=seed, accounts=300, groups=6, orders=6_000, symbols=12, ticks=30_000)
    stretch(folder / "ticks.csv")
    header, *orders = (folder / "orders.csv").read_text(encoding="utf-8").splitlines()
    lines = [f"{header},trailing_distance,expires_at"]
    for number, order in enumerate(orders):
        is_market = order.split(",")[3] in ("BUY", "SELL")
        trailing = "40" if number % 4 == 0 else ""
        expires_at = f"PT{number % 96}H30M" if number % 5 == 0 and not is_market else ""
        lines.append(f"{order},{trailing},{expires_at}")
    (folder / "orders.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    header, *accounts = (folder / "accounts.csv").read_text(encoding="utf-8").splitlines()
    lines = [header]
    for number, account in enumerate(accounts):
        who = account.split(",")[:3]
        lines.append(account if number % 3 else ",".join((*who, "3000", "150.00")))
    (folder / "accounts.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def stretch(path: Path) -> None:
    """Let as much time go by between ticks that the day rolls over four times."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *ticks = csv.reader(file)
    first = datetime.fromisoformat(ticks[0][0])
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for time, *quote in ticks:
            moved = first + (datetime.fromisoformat(time) - first) * STRETCH
            writer.writerow((moved.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), *quote))


async def book_of(dsn: str) -> list[tuple[object, ...]]:
    """Return ledger, orders and accounts as the replay database has them."""
    replayed = replay_dsn(dsn)
    return [
        row
        for statement in (
            "SELECT account_id, order_id, kind, amount, balance_after, time, decision_id "
            "FROM ledger ORDER BY entry_id",
            "SELECT order_id, status, volume, stop_loss, margin, commission, profit, swap, "
            "swapped_until, reason FROM orders ORDER BY order_id",
            "SELECT account_id, balance, round(margin, 15), sequence, in_margin_call FROM accounts "
            "ORDER BY account_id",
        )
        for row in await fetch(replayed, statement)
    ]


async def check_book(dsn: str) -> None:
    """Assert what must hold in the replay database whatever happened."""
    assert (await verify(replay_dsn(dsn))).faults == []


def check_deals(path: Path) -> int:
    """Assert that no order fills twice; return how many deals there are."""
    with path.open(encoding="utf-8", newline="") as file:
        deals = list(csv.DictReader(file))
    often = Counter((deal["client_order_id"], deal["event"]) for deal in deals)
    assert max(often.values()) == 1
    return len(deals)


async def kill_at_random(command: ReplayCommand, trading_s: float, chance: random.Random) -> bool:
    """Kill at a moment of the time it takes to trade; False: it was faster."""
    async with command.run() as replay:
        await replay.trading()
        await asyncio.sleep(chance.uniform(0, trading_s))
        return await replay.kill()


async def kill_in_commit(
    command: ReplayCommand, proxy: FaultProxy, moment: Moment, skip: int
) -> bool:
    """Kill while a commit is stopped on its way; False: it ended before that event."""
    trap = arm_commit(proxy, moment, skip)
    async with command.run() as replay:
        if not await replay.caught(trap):
            proxy.traps.clear()
            return False
        assert await replay.kill()
    trap.cut()
    return True


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_killed_replay_resumes_to_the_same_deals(
    seed: int,
    tmp_path: Path,
    proxy: FaultProxy,
    postgres_server: EmbeddedPostgres,
    redis_url: str,
) -> None:
    scenario = scenario_of(tmp_path / "scenario", seed)
    dsn = postgres_server.dsn
    whole = ReplayCommand(scenario, tmp_path / "whole.csv", dsn, redis_url)
    async with whole.run() as replay:
        await replay.trading()
        started = asyncio.get_running_loop().time()
        expected = await replay.summary()
        trading_s = asyncio.get_running_loop().time() - started
    events = check_deals(whole.deals)
    book = await book_of(dsn)
    swaps = [row for row in book if "SWAP" in row]
    assert len({row[5] for row in swaps}) >= 4  # rollovers
    assert len(swaps) > 100
    assert {"STOP_LOSS", "TAKE_PROFIT", "STOP_OUT"} <= expected["closed"].keys(), expected
    assert "EXPIRED" in expected["cancelled"]
    assert expected["missed_triggers"] == 0
    assert expected["ledger_balanced"] is True

    chance = random.Random(seed)
    moments: list[Moment | None] = [
        *[None] * RANDOM_KILLS,
        *[Moment.BEFORE_FORWARD] * KILLS_BEFORE_COMMIT,
        *[Moment.BEFORE_REPLY] * KILLS_BEFORE_REPLY,
    ]
    chance.shuffle(moments)
    hurt = ReplayCommand(scenario, tmp_path / "hurt.csv", through(proxy, dsn), redis_url)
    kills = 0
    while kills < KILLS:
        moment = moments[kills]
        if moment is None:
            killed = await kill_at_random(hurt, trading_s / 2, chance)
        else:
            killed = await kill_in_commit(hurt, proxy, moment, chance.randrange(events // 4))
        if killed:
            kills += 1
            await check_book(dsn)
        else:  # it ended first: the same command starts anew
            assert hurt.deals.read_bytes() == whole.deals.read_bytes()

    async with hurt.run() as replay:
        summary = await replay.summary()
        assert replay.has_resumed

    assert hurt.deals.read_bytes() == whole.deals.read_bytes()
    assert await book_of(dsn) == book
    assert summary["missed_triggers"] == 0
    assert summary["ledger_balanced"] is True
    for count in ("ticks", "refused", "triggered", "opened", "closed", "cancelled"):
        assert summary[count] == expected[count]
    await check_book(dsn)


async def test_a_second_replay_of_the_same_takes_over_from_the_first(
    tmp_path: Path, proxy: FaultProxy, postgres_server: EmbeddedPostgres, redis_url: str
) -> None:
    """Both hold the lease by the same name: the epoch alone tells them apart."""
    scenario = scenario_of(tmp_path / "scenario", 15)
    dsn = postgres_server.dsn
    whole = ReplayCommand(scenario, tmp_path / "whole.csv", dsn, redis_url)
    await whole.finish()
    first = ReplayCommand(scenario, tmp_path / "first.csv", through(proxy, dsn), redis_url)
    second = ReplayCommand(scenario, tmp_path / "second.csv", dsn, redis_url)
    trap = arm_commit(proxy, Moment.BEFORE_FORWARD, skip=1_500)
    async with first.run() as loser:
        assert await loser.caught(trap)
        async with second.run() as winner:
            await winner.trading()
            trap.release()
            await winner.summary()
            assert winner.has_resumed
        assert await loser.exit_code() == 2
        assert "another replay of the same inputs has taken over" in loser.log
    assert second.deals.read_bytes() == whole.deals.read_bytes()
    assert not first.deals.exists()
    await check_book(dsn)


async def test_connections_lost_in_commits_change_nothing(
    tmp_path: Path, proxy: FaultProxy, postgres_server: EmbeddedPostgres, redis_url: str
) -> None:
    """Without a kill: the running replay itself finds out what became of its batch."""
    scenario = scenario_of(tmp_path / "scenario", 14)
    dsn = postgres_server.dsn
    whole = ReplayCommand(scenario, tmp_path / "whole.csv", dsn, redis_url)
    await whole.finish()
    hurt = ReplayCommand(scenario, tmp_path / "hurt.csv", through(proxy, dsn), redis_url)
    async with hurt.run() as replay:
        cuts = 0
        for moment in (Moment.BEFORE_REPLY, Moment.BEFORE_FORWARD, Moment.BEFORE_REPLY):
            trap = arm_commit(proxy, moment, skip=100)
            cuts += await replay.caught(trap)
            if trap.has_sprung:
                trap.cut()
        summary = await replay.summary()
    assert cuts == 3
    assert hurt.deals.read_bytes() == whole.deals.read_bytes()
    assert summary["missed_triggers"] == 0
    await check_book(dsn)


@pytest.mark.parametrize("pattern", [b"CREATE DATABASE", b"COPY ", b"INSERT INTO replays"])
async def test_a_replay_killed_before_it_trades_starts_anew(
    pattern: bytes,
    tmp_path: Path,
    proxy: FaultProxy,
    postgres_server: EmbeddedPostgres,
    redis_url: str,
) -> None:
    folder = tmp_path / "scenario"
    make_scenario(folder, seed=5, accounts=20, groups=3, orders=200, symbols=5, ticks=1_000)
    dsn = postgres_server.dsn
    whole = ReplayCommand(folder, tmp_path / "whole.csv", dsn, redis_url)
    await whole.finish()
    hurt = ReplayCommand(folder, tmp_path / "hurt.csv", through(proxy, dsn), redis_url)
    trap = proxy.arm(pattern, Moment.BEFORE_REPLY)
    async with hurt.run() as replay:
        assert await replay.caught(trap)
        assert await replay.kill()
    trap.cut()
    await hurt.finish()
    assert hurt.deals.read_bytes() == whole.deals.read_bytes()
    await check_book(dsn)
