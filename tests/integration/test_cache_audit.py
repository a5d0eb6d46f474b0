"""The cache's audit against a real Valkey and PostgreSQL: what is wrong is found and repaired."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from random import Random

import pytest
import redis.asyncio

from service.domain.order import OrderType
from service.domain.shard import AccountShard
from service.instruments import Instruments
from service.loops import cache_audit
from service.loops.cache_audit import CacheAudit, group_market
from service.loops.publisher import Publisher
from service.storage.cache import Cache
from service.storage.cache_keys import orders_key, prices_key, symbols_key
from service.storage.outbox import Outbox
from telemetry import catalogue
from tests.adversity.shard import SYMBOL, Resting, Shard, open_small_book, trading_shard

ACCOUNTS = 30
BOOK = [Resting(1 + n % ACCOUNTS, OrderType.BUY_LIMIT, 109_000, 100_000) for n in range(60)]


@dataclass
class World:
    """A shard that trades, its cache filled, and an audit of all of it."""

    shard: Shard
    cache: Cache
    client: redis.asyncio.Redis
    audit: CacheAudit
    published: list[bool] = field(default_factory=lambda: [True])

    async def fill(self) -> None:
        accounts = range(1, ACCOUNTS + 1)
        ticket = await self.cache.open_fill(accounts)
        stored = await self.shard.reader.live_orders(accounts)
        await self.cache.fill_static_orders(ticket, list(stored.values()))
        await self.show_groups()

    async def show_groups(self) -> None:
        for group in self.shard.desk.groups:
            truth = group_market(group, self.shard.desk)
            await self.cache.groups.write_prices({group: (truth.prices or {}).values()})
            await self.cache.groups.write_symbols(group, truth.symbols or [])

    async def has_entry(self, account_id: int) -> bool:
        return await self.cache.get_user_static_orders_cache(account_id) is not None


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_audit, "RECHECK_S", 0.05)


@pytest.fixture
async def world(postgres_dsn: str, redis_url: str) -> AsyncIterator[World]:
    await open_small_book(postgres_dsn, ACCOUNTS, BOOK)
    async with trading_shard(postgres_dsn) as shard:
        shard.quote(110_000)
        cache = Cache(redis_url, shard.instruments)
        client = redis.asyncio.Redis.from_url(redis_url)
        published = [True]
        audit = CacheAudit(
            shard.trading, cache, shard.reader, lambda: published[0], shard.instruments, Random(1)
        )
        world = World(shard, cache, client, audit, published)
        await world.fill()
        yield world
        await client.aclose()
        await cache.close()


def counts(instruments: Instruments, metric: catalogue.Metric) -> dict[str, float]:
    family = instruments.metrics.counter(metric)
    values = metric.labels[0].values
    assert values is not None
    return {each: family.child(each).value for each in values if family.child(each).value}


def audited(world: World) -> dict[str, float]:
    return counts(world.shard.instruments, catalogue.CACHE_AUDITED)


def found(world: World) -> dict[str, float]:
    return counts(world.shard.instruments, catalogue.CACHE_DIFFERENCES)


async def test_a_cache_that_is_right_has_no_difference(world: World) -> None:
    assert await world.audit.run_once() == 0
    assert audited(world) == {"same": ACCOUNTS + 2}
    assert found(world) == {}


async def test_an_audit_is_nobodys_hit_or_miss(world: World) -> None:
    await world.cache.remove_accounts(range(1, 11))
    await world.audit.run_once()
    family = world.shard.instruments.metrics.counter(catalogue.CACHE_REQUESTS)
    for cache in ("static_orders", "group_prices", "group_symbols"):
        assert [family.child(cache, each).value for each in ("hit", "miss", "error")] == [0, 0, 0]
    assert audited(world) == {"same": ACCOUNTS - 10 + 2, "absent": 10}


@pytest.mark.parametrize(
    ("field_name", "content", "kind"),
    [
        ("balance", "1.00", "balance"),
        ("margin", "1", "margin"),
        ("in_margin_call", "1", "account"),
        ("4", None, "order_missing"),
        ("4", "0.07", "order_differs"),
        ("9999", "0.01", "order_extra"),
    ],
)
async def test_each_kind_of_difference_is_counted_and_repaired(
    world: World, field_name: str, content: str | None, kind: str
) -> None:
    key = orders_key(4)
    if content is None:
        await world.client.hdel(key, field_name)
    elif kind.startswith("order"):
        stored = await world.client.hget(key, "4")
        assert isinstance(stored, bytes)
        order = stored.decode().replace('"volume":"0.01"', f'"volume":"{content}"')
        order = order.replace('"order_id":4,', f'"order_id":{field_name},')
        await world.client.hset(key, field_name, order)
    else:
        await world.client.hset(key, field_name, content)
    assert await world.audit.run_once() == 1
    assert found(world) == {kind: 1}
    assert audited(world) == {"same": ACCOUNTS - 1 + 2, "different": 1}
    assert not await world.has_entry(4)
    await world.fill()
    assert await world.audit.run_once() == 0


async def test_an_event_that_never_reached_the_entry_is_found(world: World) -> None:
    await world.shard.fund(4, "5.00")  # nobody publishes here
    assert await world.audit.run_once() == 1
    assert found(world) == {"behind": 1}
    assert not await world.has_entry(4)


async def test_an_event_on_its_way_is_no_difference(world: World) -> None:
    world.published[0] = False
    await world.shard.fund(4, "5.00")
    assert await world.audit.run_once() == 0
    assert audited(world) == {"same": ACCOUNTS - 1 + 2, "moved": 1}
    assert await world.has_entry(4)


async def test_who_may_have_lost_the_shard_meanwhile_judges_no_entry_to_be_behind(
    world: World,
) -> None:
    await world.shard.fund(4, "5.00")
    world.shard.trading.trust_lease(0.0)
    assert await world.audit.run_once() == 0
    assert await world.has_entry(4)


async def test_an_event_that_arrives_meanwhile_is_no_difference(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = await world.shard.fund(4, "5.00")
    [payload] = await world.shard.reader.events_after({4: event.sequence - 1}, 1)

    async def arrive(seconds: float) -> None:
        if seconds:
            await world.cache.apply_events([payload])

    monkeypatch.setattr(asyncio, "sleep", arrive)
    assert await world.audit.run_once() == 0
    assert audited(world) == {"same": ACCOUNTS + 2}


async def test_an_entry_ahead_of_what_is_stored_is_found(world: World) -> None:
    await world.client.hincrby(orders_key(4), "sequence", 3)
    assert await world.audit.run_once() == 1
    assert found(world) == {"ahead": 1}


async def test_entries_of_accounts_nobody_knows_are_differences(world: World) -> None:
    truth = (await world.shard.reader.live_orders([4]))[4]
    assert cache_audit.differences(truth, None) == ["account"]


async def test_a_groups_stored_symbols_and_prices_are_compared_and_written_anew(
    world: World,
) -> None:
    price = b'{"symbol":"EURUSD","buy":"1.2","sell":"1.1","time":"2026-01-05T08:00:00.000Z"}'
    await world.client.hset(prices_key("gold"), "EURUSD", price)
    await world.client.set(symbols_key("plain"), b"rubbish", ex=60)
    assert await world.audit.run_once() == 2
    assert found(world) == {"group_prices": 1, "group_symbols": 1}
    assert await world.audit.run_once() == 0
    assert found(world) == {"group_prices": 1, "group_symbols": 1}


async def test_a_price_of_what_is_not_priced_is_taken_away(world: World) -> None:
    price = b'{"symbol":"GONE","buy":"1.2","sell":"1.1","time":"2026-01-05T08:00:00.000Z"}'
    await world.client.hset(prices_key("gold"), "GONE", price)
    before = await world.client.hgetall(prices_key("gold"))
    assert await world.audit.run_once() == 1
    after = await world.client.hgetall(prices_key("gold"))
    assert after == {name: each for name, each in before.items() if name != b"GONE"} != {}
    assert await world.client.ttl(prices_key("gold")) > 0
    assert await world.audit.run_once() == 0


async def test_prices_that_move_are_no_difference(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.shard.quote(110_005)

    async def move(seconds: float) -> None:
        if seconds:
            world.shard.quote(110_010)

    monkeypatch.setattr(asyncio, "sleep", move)
    assert await world.audit.run_once() == 0
    assert audited(world) == {"same": ACCOUNTS, "moved": 2}


async def test_who_was_suspended_meanwhile_judges_no_prices(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another may lead, and what is in Redis be its prices, newer than ours."""
    price = b'{"symbol":"EURUSD","buy":"1.2","sell":"1.1","time":"2026-01-05T08:00:00.000Z"}'
    await world.client.hset(prices_key("gold"), "EURUSD", price)
    monkeypatch.setattr(cache_audit, "SUSPENDED_S", 0.0)
    assert await world.audit.run_once() == 0
    assert await world.client.hget(prices_key("gold"), "EURUSD") == price
    monkeypatch.undo()
    assert await world.audit.run_once() == 1


async def test_who_leads_no_longer_judges_no_prices(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    price = b'{"symbol":"EURUSD","buy":"1.2","sell":"1.1","time":"2026-01-05T08:00:00.000Z"}'
    await world.client.hset(prices_key("gold"), "EURUSD", price)

    async def step_down(seconds: float) -> None:
        if seconds:
            world.shard.trading.step_down()

    with monkeypatch.context() as patched:
        patched.setattr(asyncio, "sleep", step_down)
        assert await world.audit.run_once() == 0
    assert await world.client.hget(prices_key("gold"), "EURUSD") == price


async def test_what_nobody_stored_of_a_group_is_absent(world: World) -> None:
    for group in world.shard.desk.groups:
        await world.client.delete(prices_key(group), symbols_key(group))
    assert await world.audit.run_once() == 0
    assert audited(world) == {"same": ACCOUNTS, "absent": 2}


async def test_a_standby_audits_nothing(world: World) -> None:
    await world.client.hset(orders_key(4), "balance", "1.00")
    world.shard.trading.step_down()
    assert await world.audit.run_once() == 0
    assert audited(world) == {}


async def test_samples_are_bounded_and_drawn_by_the_seed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_audit, "ACCOUNTS_IN_RUN", 7)
    monkeypatch.setattr(cache_audit, "GROUPS_IN_RUN", 1)
    asked: list[list[int]] = []
    live_orders = world.shard.reader.live_orders

    async def noted(account_ids: list[int]) -> object:
        asked.append(sorted(account_ids))
        return await live_orders(account_ids)

    monkeypatch.setattr(world.shard.reader, "live_orders", noted)
    for _ in range(2):
        audit = CacheAudit(
            world.shard.trading,
            world.cache,
            world.shard.reader,
            lambda: True,
            world.shard.instruments,
            Random(5),
        )
        await audit.run_once()
        await audit.run_once()
    assert [len(each) for each in asked] == [7] * 4
    assert asked[0] == asked[2] != asked[1] == asked[3]


async def test_a_busy_shard_has_no_difference(world: World) -> None:
    """Trading and publishing at full speed while audits run: nothing is found that is not wrong."""
    publisher = Publisher(world.cache, Outbox(world.shard.database), world.shard.instruments)
    world.shard.trading.written_hooks.append(publisher.publish)
    audit = CacheAudit(
        world.shard.trading,
        world.cache,
        world.shard.reader,
        lambda: world.shard.trading.backlog == 0 and publisher.is_idle,
        world.shard.instruments,
        Random(2),
    )

    async def trade() -> None:
        chance = Random(3)
        while True:
            await world.shard.place(chance.randint(1, ACCOUNTS), OrderType.BUY_LIMIT, 108_000)

    tasks = [asyncio.create_task(publisher.run())] + [
        asyncio.create_task(trade()) for _ in range(5)
    ]
    try:
        for _ in range(15):
            assert await audit.run_once() == 0
            await world.fill()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert found(world) == {}


async def test_a_group_that_is_still_being_written_is_not_judged(world: World) -> None:
    """A busy process may take longer than the audit's second look to write what has changed."""
    name = next(iter(world.shard.desk.groups))
    terms = world.shard.desk.terms[name, SYMBOL].settings
    await world.show_groups()
    world.shard.desk.set_terms(replace(terms, spread=terms.spread + 1))
    world.published[0] = False
    assert await world.audit.run_once() == 0
    assert found(world) == {}
    world.published[0] = True
    assert await world.audit.run_once() == 1


async def test_groups_are_audited_by_who_stores_them(postgres_dsn: str, redis_url: str) -> None:
    await open_small_book(postgres_dsn, ACCOUNTS)
    async with trading_shard(postgres_dsn, accounts=AccountShard(1, 2)) as shard:
        cache = Cache(redis_url, shard.instruments)
        audit = CacheAudit(
            shard.trading, cache, shard.reader, lambda: True, shard.instruments, Random(1)
        )
        assert await audit.run_once() == 0
        assert counts(shard.instruments, catalogue.CACHE_AUDITED) == {
            "absent": len(shard.desk.accounts)
        }
        await cache.close()
