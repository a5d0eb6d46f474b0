"""Settings changed for three shards at once: each trades by them, and stores what they moved.

The oracle is one desk without shards, loaded from what is stored: it rests every order where the
stored settings say.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from random import Random

import asyncpg
import pytest

from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.instrument import TradingState, UserType
from service.domain.order import OrderState, OrderType
from service.domain.record import order_state
from service.domain.rejection import RejectCode, Rejected
from service.domain.shard import AccountShard
from service.instruments import Instruments
from service.loops import administration as administrations
from service.loops.administration import Administration
from service.loops.answers import Unavailable
from service.loops.bus import MemoryBus
from service.loops.intake import Intake
from service.loops.requests import Answer, Author, Request
from service.loops.settings_follower import SettingsFollower
from service.storage.database import Database
from service.storage.loader import load_engine
from service.storage.rows import ORDER_SELECT, order_from
from service.storage.settings_version import SettingsVersions
from tests.adversity.book import check_book, fetch
from tests.adversity.hosts import SHARDS as SHARED
from tests.adversity.hosts import Host, process
from tests.adversity.shard import (
    EURUSD,
    GOLD,
    GUARD,
    SYMBOL,
    Resting,
    Shard,
    open_small_book,
    terms_of,
    trading_shard,
)
from tests.support import PATIENCE_S, POLL_S, eventually

SHARDS = 3
ACCOUNTS = 12
RESTING = [
    Resting(1 + number % ACCOUNTS, order_type, 109_000)
    for number, order_type in enumerate([OrderType.BUY_LIMIT, OrderType.SELL_STOP] * ACCOUNTS)
]
AUTHOR = Author("admin", "a test")
VERSIONS = "SELECT settings_version FROM shard_leases ORDER BY shard"
LIVE = f"SELECT {ORDER_SELECT} FROM orders WHERE status IN ('PENDING', 'OPEN')"


class Broker:
    """Three shards that trade, with one bus, administration and follower for all."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.database = Database(dsn, Instruments())
        self.versions = SettingsVersions(self.database)
        self.bus = MemoryBus(SHARDS)
        self.administration = Administration(self.bus, self.versions)
        self.shards: dict[int, Shard] = {}
        self._running: dict[int, AsyncExitStack] = {}

    async def start(self, number: int) -> None:
        """Have a shard traded by a process that begins with what is stored."""
        accounts = AccountShard(number, SHARDS)
        stack = self._running[number] = AsyncExitStack()
        context = trading_shard(self.dsn, holder=f"shard {number}", accounts=accounts)
        shard = self.shards[number] = await stack.enter_async_context(context)
        self.bus.serve(accounts, Intake(shard.trading, shard.reader), shard.trading.on_quote)
        shard.quote(110_000)

    async def stop(self, number: int) -> None:
        await self.shards.pop(number).leadership.stop()
        await self._running.pop(number).aclose()

    async def close(self) -> None:
        for number in list(self._running):
            await self.stop(number)
        await self.database.close()

    async def follow(self) -> None:
        """Follow the settings for ever, far more often than the service."""
        follower = SettingsFollower(self.versions, [])
        led: list[Shard] = []
        while True:
            if led != list(self.shards.values()):
                led = list(self.shards.values())
                follower = SettingsFollower(self.versions, [each.trading for each in led])
            await follower.run_once()
            await asyncio.sleep(0.01)

    async def stored_versions(self) -> list[int]:
        return [version for (version,) in await fetch(self.dsn, VERSIONS)]

    async def until_stored(self, versions: list[int]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await self.stored_versions() != versions:  # noqa: ASYNC110 - has no event
                await asyncio.sleep(POLL_S)

    async def check(self, version: int) -> None:
        """Assert that all shards trade by a version, and that nothing else is stored."""
        assert await self.stored_versions() == [version] * SHARDS
        stored = {row[0]: order_from(row) for row in await fetch(self.dsn, LIVE)}
        assert stored == await rested_by_one_desk(self.dsn)
        in_memory: dict[int, OrderState] = {}
        for shard in self.shards.values():
            await check_book(self.dsn, shard)
            desk = shard.desk
            assert desk.settings_version == version
            in_memory |= {each.order_id: order_state(each, None) for each in desk.orders.values()}
            assert settings_of(desk) == settings_of(self.shards[0].desk)
        assert in_memory == stored


def settings_of(desk: Desk) -> object:
    return desk.symbols, desk.groups, {key: each.settings for key, each in desk.terms.items()}


async def rested_by_one_desk(dsn: str) -> dict[int, OrderState]:
    connection = await asyncpg.connect(dsn)
    try:
        engine = Engine(Desk(), GUARD)
        await load_engine(connection, engine)
    finally:
        await connection.close()
    return {each.order_id: order_state(each, None) for each in engine.desk.orders.values()}


@asynccontextmanager
async def trading(dsn: str) -> AsyncIterator[Broker]:
    await open_small_book(dsn, ACCOUNTS, RESTING)
    broker = Broker(dsn)
    following = asyncio.create_task(broker.follow())
    try:
        for number in range(SHARDS):
            await broker.start(number)
        yield broker
        assert not following.done(), following.result()
    finally:
        following.cancel()
        await asyncio.wait((following,))
        await broker.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an administrator wait for as long as a busy machine may take."""
    monkeypatch.setattr(administrations, "ANSWER_TIMEOUT_S", PATIENCE_S)


@pytest.fixture
async def broker(postgres_dsn: str) -> AsyncIterator[Broker]:
    async with trading(postgres_dsn) as broker:
        yield broker


async def test_each_change_is_one_version_that_all_shards_trade_by_when_it_is_answered(
    broker: Broker,
) -> None:
    administration = broker.administration
    await broker.check(0)
    await administration.set_terms(terms_of("gold", 31), AUTHOR)
    await broker.check(1)
    widened = replace(EURUSD, trigger_tolerance_points=4, max_volume=7_777)
    assert await administration.set_symbol(widened, AUTHOR) == widened
    await broker.check(2)
    await administration.set_group_state("gold", TradingState.HALTED, AUTHOR)
    await broker.check(3)
    for shard in broker.shards.values():
        assert shard.desk.groups["gold"].trading_state is TradingState.HALTED
    group = await administration.set_group(replace(GOLD, stop_out_level=Decimal(30)), AUTHOR)
    assert group.trading_state is TradingState.HALTED
    await broker.check(4)


async def test_a_halt_holds_on_every_shard_when_it_is_answered(broker: Broker) -> None:
    await broker.administration.set_symbol_state(SYMBOL, TradingState.HALTED, AUTHOR)
    for account_id in range(1, ACCOUNTS + 1):
        with pytest.raises(Rejected) as refused:
            await broker.shards[account_id % SHARDS].place(account_id)
        assert refused.value.code is RejectCode.TRADING_HALTED
    for shard in broker.shards.values():
        shard.quote(108_000)
        assert not shard.trading.backlog
    await broker.administration.set_symbol_state(SYMBOL, TradingState.ACTIVE, AUTHOR)
    for shard in broker.shards.values():
        shard.quote(108_000)
        await shard.drained()
    await broker.check(2)
    assert not any(state.order_type.is_buy for state in (await pending(broker)).values())


async def pending(broker: Broker) -> dict[int, OrderState]:
    rows = await fetch(broker.dsn, f"SELECT {ORDER_SELECT} FROM orders WHERE status = 'PENDING'")
    return {row[0]: order_from(row) for row in rows}


async def test_what_nobody_trades_is_named_and_stores_it_when_somebody_does(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(administrations, "ANSWER_TIMEOUT_S", 0.2)
    await broker.stop(1)
    with pytest.raises(Unavailable, match="not traded by yet in shards 1"):
        await broker.administration.set_terms(terms_of("gold", 31), AUTHOR)
    await broker.until_stored([1, 0, 1])
    await broker.stop(2)
    with pytest.raises(Unavailable, match="in shards 1, 2: it will be"):
        await broker.administration.set_terms(terms_of("plain", 5), AUTHOR)
    assert await broker.stored_versions() == [2, 0, 1]
    await check_book(broker.dsn)
    # Each begins with the newest settings in memory, and with triggers stored of older ones.
    await broker.start(2)
    await broker.start(1)
    await broker.until_stored([2, 2, 2])
    monkeypatch.setattr(administrations, "ANSWER_TIMEOUT_S", PATIENCE_S)
    await broker.administration.set_symbol_state(SYMBOL, TradingState.CLOSE_ONLY, AUTHOR)
    await broker.check(3)


async def test_shards_divided_anew_store_the_triggers_that_were_not(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(administrations, "ANSWER_TIMEOUT_S", 0.2)
    await broker.stop(1)
    with pytest.raises(Unavailable):
        await broker.administration.set_terms(terms_of("gold", 31), AUTHOR)
    for number in list(broker.shards):
        await broker.stop(number)
    async with trading_shard(broker.dsn, holder="one") as shard:
        await shard.leadership.stop()
    for number in range(SHARDS):
        await broker.start(number)
    await broker.until_stored([1, 1, 1])
    await broker.check(1)


async def test_administrators_at_once_and_shards_that_restart_meanwhile(broker: Broker) -> None:
    random = Random(7)
    done = 0

    async def administer(group: str) -> None:
        nonlocal done
        for _ in range(8):
            markup = random.randrange(0, 50)
            match random.randrange(3):
                case 0:
                    await broker.administration.set_terms(terms_of(group, markup), AUTHOR)
                case 1:
                    symbol = replace(EURUSD, trigger_tolerance_points=markup)
                    await broker.administration.set_symbol(symbol, AUTHOR)
                case _:
                    state = random.choice(list(TradingState))
                    await broker.administration.set_group_state(group, state, AUTHOR)
            done += 1

    async def restart() -> None:
        for number in (1, 2, 1):
            await asyncio.sleep(random.uniform(0, 0.1))
            await broker.stop(number)
            await broker.start(number)

    await asyncio.gather(administer("plain"), administer("gold"), restart())
    assert done == 16
    await eventually(
        lambda: all(each.desk.settings_version == 16 for each in broker.shards.values())
    )
    for shard in broker.shards.values():
        await shard.drained()
    await broker.check(16)


async def test_an_account_is_opened_in_its_own_shard(broker: Broker) -> None:
    for account_id in (100, 101, 102):
        await broker.administration.create_account(
            account_id, UserType.DEMO, "gold", Decimal(100), Decimal(500), AUTHOR
        )
        [holder] = [
            number for number, shard in broker.shards.items() if account_id in shard.desk.accounts
        ]
        assert holder == account_id % SHARDS
        with pytest.raises(Rejected) as refused:
            await broker.administration.create_account(
                account_id, UserType.DEMO, "gold", Decimal(100), Decimal(500), AUTHOR
            )
        assert refused.value.code is RejectCode.ACCOUNT_EXISTS
    await broker.check(0)


async def test_exposure_is_summed_over_all_shards(broker: Broker) -> None:
    for account_id in range(1, ACCOUNTS + 1):
        kind = OrderType.BUY if account_id % 4 else OrderType.SELL
        await broker.shards[account_id % SHARDS].place(account_id, kind)
    exposure = await broker.administration.exposure()
    assert {key: (held.long_volume, held.short_volume) for key, held in exposure.items()} == {
        ("plain", SYMBOL): (600, 0),
        ("gold", SYMBOL): (300, 300),
    }
    await broker.stop(2)
    with pytest.raises(Unavailable, match="shard 2 of 3 does not tell: "):
        await broker.administration.exposure()


# Processes that share the shards


class AnyBus(MemoryBus):
    """Asks whichever process trades a shard, and waits for one where none does."""

    def __init__(self, hosts: Sequence[Host], shards: int) -> None:
        super().__init__(shards)
        self._hosts = hosts

    async def ask(self, shard: int, request: Request) -> Answer:
        async with asyncio.timeout(20):
            while True:
                for host in self._hosts:
                    if host.host.front.leads(shard):
                        return await host.bus.ask(shard, request)
                await asyncio.sleep(0.01)


async def test_processes_that_come_and_die_trade_by_the_same_settings(
    postgres_dsn: str, redis_url: str
) -> None:
    await open_small_book(postgres_dsn, ACCOUNTS, RESTING)
    hosts: list[Host] = []
    database = Database(postgres_dsn, Instruments())
    administration = Administration(AnyBus(hosts, SHARED), SettingsVersions(database))

    async def change(markup: int) -> None:
        """Change both groups; where shards change hands it may take more than one answer."""
        for terms in (terms_of("gold", markup), terms_of("plain", 60 - markup)):
            async with asyncio.timeout(30):
                while True:
                    with suppress(Unavailable):
                        await administration.set_terms(terms, AUTHOR)
                        break

    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(process(postgres_dsn, redis_url, "one"))
        hosts.append(first)
        await eventually(lambda: len(first.led) == SHARED)
        await change(3)
        async with process(postgres_dsn, redis_url, "two") as second:
            hosts.append(second)
            await change(9)  # while shards are handed over
            await eventually(lambda: len(second.led) == len(first.led) == SHARED // 2)
            await change(14)
            hosts.remove(second)
        # It died: what it traded is behind until the first has it, and stores it then.
        await change(31)
        await eventually(lambda: len(first.led) == SHARED)
        stored = {row[0]: order_from(row) for row in await fetch(postgres_dsn, LIVE)}
        assert stored == await rested_by_one_desk(postgres_dsn)
        versions = {version for (version,) in await fetch(postgres_dsn, VERSIONS)}
        assert len(versions) == 1
        await first.host.stop()
    await database.close()
    await check_book(postgres_dsn)
