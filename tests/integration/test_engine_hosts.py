"""Processes that share the shards: who trades what as they come, go and die; none by two."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from random import Random

import pytest

from service.domain.decision import Audit
from service.domain.order import OrderType
from service.domain.quote import Quote
from service.engine_host import EngineHost
from service.instruments import Instruments
from service.loops.answers import Unavailable
from service.loops.bus import MemoryBus
from service.loops.commands import Fund
from service.loops.prices import PriceBoard
from service.loops.supervisor import Supervisor
from service.settings import Settings
from service.storage.cache import Cache
from service.storage.database import Database
from service.storage.generations import OwnGenerations
from service.storage.reader import Reader
from tests.adversity.book import check_book, execute, fetch
from tests.adversity.shard import GUARD, SYMBOL, Resting, open_small_book
from tests.support import eventually

SHARDS = 6
ACCOUNTS = 12
LEASE_S = 2.0
RESTING = [Resting(1 + number % ACCOUNTS, OrderType.BUY_LIMIT, 109_000) for number in range(24)]


class Host:
    """One process's engines, with a bus of its own."""

    def __init__(
        self, dsn: str, redis_url: str, holder: str, shards: int, lease_s: float, *, shares: bool
    ) -> None:
        settings = Settings(shards=shards, lease_s=lease_s)
        self.instruments = Instruments()
        self.database = Database(dsn, self.instruments, settings.database_connections)
        self.cache = Cache(redis_url, self.instruments)
        self.cache.generations = OwnGenerations(shards)
        reader = Reader(self.database, lambda: self.host.front.symbols())
        board = PriceBoard(lambda: self.host.front.desk, self.cache, self.instruments)
        self.host = EngineHost(
            settings,
            holder,
            GUARD,
            self.database,
            self.cache,
            reader,
            board,
            self.instruments,
            shares=shares,
        )
        self.bus = MemoryBus(shards)
        self.host.serve(self.bus)
        self.supervisor = Supervisor(self.instruments, Random(1))
        self.take_quote = self.bus.quotes()

    @property
    def led(self) -> list[int]:
        return [shard.shard.number for shard in self.host.shards if shard.trading.is_leading]

    @property
    def connections(self) -> int:
        return sum(not shard.leadership.is_aside for shard in self.host.shards)

    def quote(self, bid: int) -> None:
        self.take_quote(Quote(SYMBOL, bid, bid + 10, time.time_ns()))

    async def fund(self, account_id: int) -> None:
        await self.bus.take(account_id, None, Fund(Decimal(1), Audit("desk", "fund", "", "")))


@asynccontextmanager
async def process(
    dsn: str,
    redis_url: str,
    holder: str,
    *,
    shards: int = SHARDS,
    lease_s: float = LEASE_S,
    shares: bool = True,
) -> AsyncIterator[Host]:
    """Run a process; it dies with the block, and releases nothing, unless it was stopped."""
    host = Host(dsn, redis_url, holder, shards, lease_s, shares=shares)
    try:
        async with host.supervisor.group() as loops:
            host.host.keep_trading(loops)
            host.host.keep_looking(loops)
            yield host
    finally:
        await host.cache.close()
        await host.database.close()


def led(*hosts: Host) -> list[list[int]]:
    return [host.led for host in hosts]


def shares(*hosts: Host) -> list[int]:
    return sorted(len(host.led) for host in hosts)


def are_shared(*hosts: Host) -> bool:
    """Tell whether all shards are traded, each by one, in fair shares."""
    numbers = sorted(number for host in hosts for number in host.led)
    sizes = shares(*hosts)
    return numbers == list(range(SHARDS)) and sizes[-1] - sizes[0] <= 1


async def traded_by_two(hosts: Sequence[Host]) -> None:
    """Look until cancelled; fail where a shard is led, and believed in, by two."""
    while True:
        for number in range(SHARDS):
            believing = [host for host in hosts if host.host.front.leads(number)]
            assert len(believing) <= 1, f"shard {number} is traded by {len(believing)}"
        await asyncio.sleep(0.005)


@pytest.fixture
async def dsn(postgres_dsn: str) -> str:
    await open_small_book(postgres_dsn, ACCOUNTS, RESTING)
    return postgres_dsn


async def test_one_process_trades_all_and_shares_with_those_that_come(
    dsn: str, redis_url: str
) -> None:
    async with AsyncExitStack() as stack:
        hosts = [await stack.enter_async_context(process(dsn, redis_url, "one"))]
        await eventually(lambda: len(hosts[0].led) == SHARDS)
        looking = asyncio.create_task(traded_by_two(hosts))
        for holder in ("two", "three"):
            hosts.append(await stack.enter_async_context(process(dsn, redis_url, holder)))
            await eventually(lambda: are_shared(*hosts))
        assert shares(*hosts) == [2, 2, 2]
        assert hosts[0].host.front.leads(0), "what need not move stays"
        # What is not wanted here costs nothing: no connection, no book, no quote.
        await eventually(lambda: [host.connections for host in hosts] == [2, 2, 2])
        for host in hosts:
            for shard in host.host.shards:
                assert bool(shard.trading.desk.accounts) == shard.trading.is_leading
            host.quote(110_000)
        # Each account's commands are taken by one, and its orders triggered once.
        for account_id in range(1, ACCOUNTS + 1):
            [owner] = [host for host in hosts if host.host.front.leads(account_id % SHARDS)]
            await owner.fund(account_id)
            for other in hosts:
                if other is not owner:
                    with pytest.raises(Unavailable, match="standby"):
                        await other.fund(account_id)
        for host in hosts:
            host.quote(108_900)
        await eventually(lambda: not any(host.host.front.backlog for host in hosts))
        assert not looking.done()
        looking.cancel()
        for host in hosts:
            await host.host.stop()
        metrics = hosts[2].instruments.metrics
        text = "".join(metrics.render())
        assert 'tapewatch_loop_consecutive_errors{loop="leadership"} 0' in text
        assert "tapewatch_quotes_total 2.0" in text
        assert "tapewatch_quotes_refused_total" in text
    assert await fetch(dsn, "SELECT count(*) FROM orders WHERE status = 'PENDING'") == [(0,)]
    assert await fetch(dsn, "SELECT count(*) FROM deals") == [(len(RESTING),)]
    await check_book(dsn)


async def test_the_shards_of_one_that_dies_are_traded_by_the_others(
    dsn: str, redis_url: str
) -> None:
    async with process(dsn, redis_url, "one") as one, process(dsn, redis_url, "two") as two:
        async with process(dsn, redis_url, "three") as three:
            await eventually(lambda: are_shared(one, two, three))
            kept = led(one, two)
        await eventually(lambda: are_shared(one, two))
        assert all(set(before) <= set(now) for before, now in zip(kept, led(one, two), strict=True))
        # And when another comes in its place, it has its share again.
        async with process(dsn, redis_url, "four") as four:
            await eventually(lambda: are_shared(one, two, four))
    await check_book(dsn)


async def test_one_that_stops_lets_the_others_in_at_once(dsn: str, redis_url: str) -> None:
    life_s = 60.0  # so that nothing is free by itself
    async with (
        process(dsn, redis_url, "one", lease_s=life_s) as one,
        process(dsn, redis_url, "two", lease_s=life_s) as two,
    ):
        await eventually(lambda: are_shared(one, two))
        for host in (one, two):
            host.quote(110_000)
        one.quote(108_900)
        two.quote(111_000)
        await one.host.stop()
        assert one.led == []
        async with asyncio.timeout(10):
            await eventually(lambda: len(two.led) == SHARDS)
        # What it takes is priced by what it has seen itself, where that is newer.
        bids = {shard.trading.desk.markets[SYMBOL].bid for shard in two.host.shards}
        assert bids == {111_000}
        await asyncio.sleep(1)
        assert len(two.led) == SHARDS, "it takes nothing back"
        assert one.led == []
    await check_book(dsn)


async def test_a_shard_that_cannot_be_traded_takes_no_other_down(dsn: str, redis_url: str) -> None:
    # An account of a group that is gone: its shard cannot be loaded.
    await execute(
        dsn,
        "ALTER TABLE accounts DROP CONSTRAINT accounts_group_name_fkey",
        "UPDATE accounts SET group_name = 'gone' WHERE account_id = 3",
    )
    sick = 3 % SHARDS
    async with process(dsn, redis_url, "one") as one:
        await eventually(lambda: len(one.led) == SHARDS - 1)
        async with process(dsn, redis_url, "two") as two:
            await eventually(lambda: shares(one, two)[0] >= 2)
            healthy = [number for number in range(SHARDS) if number != sick]
            await eventually(lambda: sorted(one.led + two.led) == healthy)
            statuses = {each.name: each for each in one.supervisor.statuses()}
            statuses |= {
                each.name: each for each in two.supervisor.statuses() if each.consecutive_errors
            }
            assert statuses[f"leadership/{sick}"].is_ill
            assert not any(statuses[f"leadership/{number}"].is_ill for number in healthy)
            await execute(dsn, "UPDATE accounts SET group_name = 'plain' WHERE account_id = 3")
            await eventually(lambda: are_shared(one, two))


async def test_where_each_is_everything_one_trades_all(dsn: str, redis_url: str) -> None:
    async with process(dsn, redis_url, "one", shares=False) as one:
        await eventually(lambda: len(one.led) == SHARDS)
        async with process(dsn, redis_url, "two", shares=False) as two:
            await eventually(lambda: bool(two.host.front.symbols()))
            assert two.led == []
            # Who loses the first shard gives all of them up.
            await execute(
                dsn,
                "UPDATE shard_leases SET epoch = epoch + 1, holder = 'two', "
                "expires_at = now() + interval '1 minute' WHERE shard = 0",
            )
            await eventually(lambda: len(two.led) == SHARDS)
            assert one.led == []
            await two.host.stop()
            await eventually(lambda: len(one.led) == SHARDS)
    await check_book(dsn)
