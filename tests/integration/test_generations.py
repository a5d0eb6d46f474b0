"""A gateway believes what engines of other processes cached, and no longer than it may."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from service.instruments import Instruments
from service.storage import generations
from service.storage.cache import Cache
from service.storage.cache_keys import generation_key
from service.storage.generations import HeardGenerations, OwnGenerations, ToldGenerations
from tests.faultproxy import FaultProxy
from tests.proxied import through
from tests.truth import Truth

SHARDS = 4
ACCOUNT = 17
SHARD = ACCOUNT % SHARDS


class Engine:
    """The cache of an engine that leads some shards, and tells their generations."""

    def __init__(self, url: str, led: list[int]) -> None:
        self.led = led
        self.cache = Cache(url, Instruments())
        self.told = ToldGenerations(self.cache.link, SHARDS, lambda: self.led)
        self.cache.generations = self.told


class Gateway:
    """The cache of a gateway, which hears them."""

    def __init__(self, url: str) -> None:
        self.cache = Cache(url, Instruments())
        self.heard = HeardGenerations(self.cache.link, SHARDS)
        self.cache.generations = self.heard


@pytest.fixture
async def engine(redis_proxy: FaultProxy, redis_url: str) -> AsyncIterator[Engine]:
    """An engine whose way to Redis leads through the proxy."""
    engine = Engine(through(redis_proxy, redis_url), [SHARD])
    yield engine
    await engine.cache.close()


@pytest.fixture
async def gateway(redis_url: str) -> AsyncIterator[Gateway]:
    gateway = Gateway(redis_url)
    yield gateway
    await gateway.cache.close()


@pytest.fixture
def truth() -> Truth:
    truth = Truth(ACCOUNT)
    truth.place(1)
    return truth


async def fill(cache: Cache, truth: Truth) -> int:
    ticket = await cache.open_fill([truth.account_id])
    return await cache.fill_static_orders(ticket, [truth.snapshot()])


async def test_a_gateway_reads_and_fills_what_an_engine_keeps_up(
    engine: Engine, gateway: Gateway, truth: Truth
) -> None:
    assert await fill(gateway.cache, truth) == 0, "nothing was heard yet"
    assert await engine.told.tell()
    await gateway.heard.hear()
    assert await fill(gateway.cache, truth) == 1
    event = truth.place(2)
    assert not await engine.cache.apply_events([event])
    for cache in (engine.cache, gateway.cache):
        assert await cache.get_user_static_orders_cache(ACCOUNT) == truth.snapshot()


async def test_a_generation_is_of_one_shard(engine: Engine, gateway: Gateway, truth: Truth) -> None:
    other = Truth(ACCOUNT + 1)
    engine.led.append(SHARD + 1)
    await engine.told.tell()
    await gateway.heard.hear()
    assert [await fill(gateway.cache, each) for each in (truth, other)] == [1, 1]
    engine.cache.renew(SHARD)
    await engine.told.tell()
    await gateway.heard.hear()
    assert await gateway.cache.get_user_static_orders_cache(ACCOUNT) is None
    assert await gateway.cache.get_user_static_orders_cache(ACCOUNT + 1) == other.snapshot()


async def test_what_was_missed_is_told_at_once(
    engine: Engine, gateway: Gateway, truth: Truth, redis_proxy: FaultProxy
) -> None:
    await engine.told.tell()
    await gateway.heard.hear()
    assert await fill(gateway.cache, truth) == 1
    telling = asyncio.create_task(engine.told.run())
    try:
        await redis_proxy.cut()
        assert await engine.cache.apply_events([truth.place(2)])
        await redis_proxy.restore()
        async with asyncio.timeout(30):
            while await gateway.cache.get_user_static_orders_cache(ACCOUNT) is not None:
                await gateway.heard.hear()
    finally:
        telling.cancel()
        await asyncio.wait((telling,))


async def test_it_is_never_believed_for_longer_than_the_bound(
    engine: Engine,
    gateway: Gateway,
    truth: Truth,
    redis_proxy: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The engine is cut off, or dead: nobody tells the gateway that an event is missing."""
    life_s, believed_s = 0.6, 0.3
    monkeypatch.setattr(generations, "TOLD_LIFE_S", life_s)
    monkeypatch.setattr(generations, "BELIEVED_S", believed_s)
    await engine.told.tell()
    told_s = time.monotonic()
    await gateway.heard.hear()
    assert await fill(gateway.cache, truth) == 1
    await redis_proxy.cut()
    assert await engine.cache.apply_events([truth.place(2)])
    assert not await engine.told.tell()
    async with asyncio.timeout(30):
        while True:
            asked_s = time.monotonic()
            found = await gateway.cache.get_user_static_orders_cache(ACCOUNT)
            assert found is None or asked_s - told_s <= life_s + believed_s
            if found is None:
                break
            await gateway.heard.hear()


async def test_the_bound_is_that_of_its_parts() -> None:
    """Six seconds of a key, two of a copy, two until an event is known not to have arrived."""
    assert generations.STALE_AT_MOST_S == 10
    assert generations.TELL_INTERVAL_S * 3 <= generations.TOLD_LIFE_S
    assert generations.HEAR_INTERVAL_S * 2 <= generations.BELIEVED_S


async def test_who_does_not_hear_believes_nothing(gateway: Gateway, engine: Engine) -> None:
    now_s = 0.0
    heard = HeardGenerations(gateway.cache.link, SHARDS, lambda: now_s)
    await engine.told.tell()
    await heard.hear()
    assert heard.of(ACCOUNT) == engine.told.of(ACCOUNT)
    assert heard.of(ACCOUNT + 1) is None, "nobody leads that shard"
    now_s = generations.BELIEVED_S
    assert heard.of(ACCOUNT) is None
    await heard.hear()
    assert heard.of(ACCOUNT) == engine.told.of(ACCOUNT)
    heard.renew()
    assert heard.of(ACCOUNT) is None


async def test_who_has_no_lease_tells_nothing(engine: Engine, redis_url: str) -> None:
    engine.led.clear()
    assert await engine.told.tell()
    client = redis.asyncio.Redis.from_url(redis_url)
    assert not await client.exists(*(generation_key(each) for each in range(SHARDS)))
    await client.aclose()


def test_own_generations_are_renewed_apart_or_all() -> None:
    own = OwnGenerations(SHARDS)
    before = [own.of(each) for each in range(SHARDS)]
    own.renew(1)
    after = [own.of(each) for each in range(SHARDS)]
    assert [one == other for one, other in zip(before, after, strict=True)] == [
        *(True, False, True, True)
    ]
    own.renew()
    assert not {own.of(each) for each in range(SHARDS)} & {*before, *after}
