"""What dies while a command is on its way costs nothing: it is done once, and the gateway hears so.

Two real engines on one database, one after the other; the second takes the lease over when it has
expired. The gateway only waits.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from decimal import Decimal

import pytest

from service.domain.decision import Audit
from service.domain.shard import ALL_ACCOUNTS
from service.loops.answers import Unavailable
from service.loops.commands import Cancel, Fund
from service.loops.intake import Intake
from service.loops.requests import TakeCommand
from service.storage.audit import AuditAction
from service.storage.cache_keys import commands_key
from service.storage.database import Database
from service.storage.reader import Reader
from service.storage.redis_servers import SLOTS, slot_of
from tests.adversity.book import check_book, fetch
from tests.adversity.interrupted_replay import COMMITTED_REPLY, EVENT
from tests.adversity.shard import BALANCE, Shard, open_small_book, trading_shard
from tests.bus import Process, processes
from tests.faultproxy import FaultProxy, Moment
from tests.proxied import in_front_of, through
from tests.redis_cluster import running_cluster
from tests.support import eventually

LIFE_S = 1.0
FUNDED = "SELECT count(*) FROM ledger WHERE amount = 1"
ONE = Fund(Decimal(1), Audit("an administrator", AuditAction.DEPOSIT, "account", "a test"))


class EngineProcess(Process):
    """A real engine at the bus."""

    def __init__(self, url: str, shard: Shard) -> None:
        super().__init__(url, 1)
        self._shard = shard
        self.bus.serve(ALL_ACCOUNTS, Intake(shard.trading, shard.reader), shard.trading.on_quote)

    def leads(self, shard: int) -> bool:
        return self._shard.trading.has_lease


class Gateway(Process):
    """A gateway that reads stored answers."""

    def __init__(self, url: str, dsn: str) -> None:
        super().__init__(url, 1)
        self.database = Database(dsn, self.instruments)
        self._reader = Reader(self.database, dict)
        self.bus.follow(lambda quote, arrived_ns=None: None)

    async def read_stored(self, account_id: int, key: str) -> bytes | None:
        return await self._reader.answer(account_id, key)


class World:
    """The servers, each behind a proxy as the first engine sees it."""

    def __init__(self, dsn: str, url: str, database: FaultProxy, redis: FaultProxy) -> None:
        self.dsn = dsn
        self.url = url
        self.database = database
        self.redis = redis

    async def lead(self, stack: AsyncExitStack, holder: str, *, hurt: bool = False) -> Shard:
        """Run an engine until the stack ends, which is sudden: nothing is drained or released."""
        dsn = through(self.database, self.dsn) if hurt else self.dsn
        url = through(self.redis, self.url) if hurt else self.url
        shard = await stack.enter_async_context(
            trading_shard(dsn, holder=holder, lease_life_s=LIFE_S)
        )
        running = await stack.enter_async_context(processes(url))
        await running.start(EngineProcess(url, shard))
        return shard


@pytest.fixture
async def world(postgres_dsn: str, redis_url: str) -> AsyncIterator[World]:
    await open_small_book(postgres_dsn, 4)
    async with in_front_of(postgres_dsn) as database, in_front_of(redis_url) as redis:
        yield World(postgres_dsn, redis_url, database, redis)


@pytest.fixture
async def gateway(world: World) -> AsyncIterator[Gateway]:
    async with processes(world.url) as running:
        gateway = Gateway(world.url, world.dsn)
        await running.start(gateway)
        yield gateway
    await gateway.database.close()


@pytest.mark.parametrize("key", ["k", None], ids=["key", "no key"])
@pytest.mark.parametrize("moment", ["decided", "committed", "answering"])
async def test_a_command_is_done_once_whenever_its_engine_dies(
    moment: str, key: str | None, world: World, gateway: Gateway
) -> None:
    async with AsyncExitStack() as first:
        await world.lead(first, "one", hurt=True)
        if moment == "decided":
            trap = world.database.arm(EVENT, Moment.BEFORE_FORWARD)
        elif moment == "committed":
            trap = world.database.arm(EVENT, Moment.BEFORE_REPLY, reply=COMMITTED_REPLY)
        else:
            trap = world.redis.arm(b"NOMKSTREAM", Moment.BEFORE_FORWARD)
        taking = asyncio.create_task(gateway.bus.take(1, key, ONE))
        await trap.sprung()
        trap.cut()
        await world.database.cut()
        await world.redis.cut()
    async with AsyncExitStack() as second:
        shard = await world.lead(second, "two")
        taken = await taking
        assert Decimal(taken.event.balance) == BALANCE + 1
        assert await fetch(world.dsn, FUNDED) == [(1,)]
        assert gateway.asked_again >= 1
        if key is not None:
            again = await gateway.bus.take(1, key, ONE)
            assert again.is_repeated
            assert again.event == taken.event
            assert await fetch(world.dsn, FUNDED) == [(1,)]
        await check_book(world.dsn, shard)


async def test_under_load_no_command_is_done_twice_and_none_lost_that_was_answered(
    world: World, gateway: Gateway
) -> None:
    answered: list[str] = []
    unknown: list[str] = []

    async def trade(account_id: int) -> None:
        for number in range(40):
            key = f"k {number}"
            try:
                await gateway.bus.take(account_id, key, ONE)
                answered.append(f"{account_id} {key}")
            except Unavailable:
                unknown.append(f"{account_id} {key}")

    async with AsyncExitStack() as stack:
        async with AsyncExitStack() as first:
            await world.lead(first, "one", hurt=True)
            trading = [asyncio.create_task(trade(account_id)) for account_id in range(1, 5)]
            await eventually(lambda: len(answered) >= 20)
            await world.redis.cut()
            await world.database.cut()
        shard = await world.lead(stack, "two")
        await asyncio.gather(*trading)
        rows = await fetch(world.dsn, "SELECT account_id || ' ' || key FROM commands")
        stored = [key for (key,) in rows]
        assert set(answered) <= set(stored)
        assert set(stored) <= {*answered, *unknown}
        assert await fetch(world.dsn, FUNDED) == [(len(stored),)]
        assert len(answered) > 100
        await check_book(world.dsn, shard)


async def test_a_master_that_is_killed_and_replaced_costs_no_answer() -> None:
    """While commands come: none is decided twice, and what is answered was decided."""
    with running_cluster(replicas=True) as cluster:
        async with processes(cluster.url) as world:
            gateway, engine = await world.gateway(), await world.engine()
            victim = slot_of(commands_key(0).encode()) * 3 // SLOTS
            answered, refused = set(), 0
            for number in range(120):
                if number == 20:
                    cluster.masters[victim].kill()
                try:
                    await gateway.bus.take(1, f"k {number}", Cancel(number))
                    answered.add(f"k {number}")
                except Unavailable:
                    refused += 1
                    await asyncio.sleep(0.1)
            keys = Counter(
                each.key for each in engine.engine.requests if isinstance(each, TakeCommand)
            )
            assert set(keys.values()) == {1}
            assert answered <= set(keys)
            assert "k 119" in answered
            assert len(answered) + refused == 120
