"""The cache against a real Valkey: what it finds is right, whatever happens to Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.instruments import Instruments
from service.storage.cache import Cache, StaticOrders
from service.storage.cache_keys import filling_key, orders_key
from service.storage.embedded import EmbeddedValkey
from service.storage.group_views import PriceView
from telemetry import catalogue
from tests.faultproxy import FaultProxy, Moment
from tests.proxied import through
from tests.support import free_port
from tests.truth import Truth, order_view

ACCOUNT = 17


@pytest.fixture
def truth() -> Truth:
    truth = Truth(ACCOUNT)
    truth.place(1)
    truth.place(2)
    return truth


@pytest.fixture
async def hurt(
    redis_proxy: FaultProxy, redis_url: str, instruments: Instruments
) -> AsyncIterator[Cache]:
    """A cache whose way to Redis leads through the proxy."""
    cache = Cache(through(redis_proxy, redis_url), instruments)
    yield cache
    await cache.close()


def results(instruments: Instruments, cache: str = "static_orders") -> dict[str, float]:
    family = instruments.metrics.counter(catalogue.CACHE_REQUESTS)
    return {name: family.child(cache, name).value for name in ("hit", "miss", "error")}


def updates(instruments: Instruments) -> dict[str, float]:
    family = instruments.metrics.counter(catalogue.CACHE_UPDATED)
    names = ("applied", "absent", "repeated", "removed")
    return {name: family.child(name).value for name in names if family.child(name).value}


async def fill(cache: Cache, truth: Truth) -> int:
    ticket = await cache.open_fill([truth.account_id])
    return await cache.fill_static_orders(ticket, [truth.snapshot()])


async def read(cache: Cache) -> StaticOrders | None:
    return await cache.get_user_static_orders_cache(ACCOUNT)


async def readable(cache: Cache) -> None:
    """Wait until Redis answers this cache again."""
    async with asyncio.timeout(30):
        while not await cache.ping():  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(0.05)


# The life of an entry


async def test_an_entry_is_missed_filled_and_found(
    cache: Cache, truth: Truth, instruments: Instruments
) -> None:
    assert await read(cache) is None
    assert await fill(cache, truth) == 1
    assert await read(cache) == truth.snapshot()
    assert results(instruments) == {"hit": 1, "miss": 1, "error": 0}


async def test_events_move_an_entry_on(
    cache: Cache, truth: Truth, instruments: Instruments
) -> None:
    await fill(cache, truth)
    life: list[Callable[[], bytes]] = [
        lambda: truth.place(3),
        lambda: truth.modify(3, "1.09000"),
        lambda: truth.open(1, "110.00"),
        lambda: truth.end(2),
        lambda: truth.fund("250.50"),
        lambda: truth.call_margin(True),
        lambda: truth.call_margin(False),
    ]
    for happens in life:
        await cache.apply_events([happens()])
        assert await read(cache) == truth.snapshot()
    assert updates(instruments) == {"applied": 7}


async def test_a_batch_of_many_accounts_is_applied_in_order(cache: Cache) -> None:
    truths = [Truth(account_id) for account_id in range(1, 1201)]
    for truth in truths:
        assert await fill(cache, truth) == 1
    payloads = [truth.place(truth.account_id) for truth in truths]
    payloads += [truth.open(truth.account_id, "5.00") for truth in truths]
    await cache.apply_events(payloads)
    found = await cache.static_orders([truth.account_id for truth in truths])
    assert found == {truth.account_id: truth.snapshot() for truth in truths}


async def test_an_account_with_thousands_of_orders_fits(cache: Cache) -> None:
    truth = Truth(ACCOUNT)
    for order_id in range(1, 9001):
        truth.orders[order_id] = order_view(order_id, ACCOUNT)
    truth.place(9001)
    assert await fill(cache, truth) == 1
    assert await read(cache) == truth.snapshot()


async def test_an_account_without_orders_is_an_entry_too(cache: Cache) -> None:
    truth = Truth(ACCOUNT)
    await fill(cache, truth)
    assert await read(cache) == truth.snapshot()


async def test_every_key_expires(cache: Cache, truth: Truth, redis: Redis) -> None:
    await cache.open_fill([99])
    await fill(cache, truth)
    await cache.apply_events([truth.place(3)])
    price = PriceView(symbol="EURUSD", sell="1.1", buy="1.2", time="2026-01-05T09:00:00.000Z")
    await cache.groups.write_prices({"gold": [price]})
    await cache.groups.write_symbols("gold", [])
    keys = await redis.keys("*")
    assert len(keys) == 5
    for key in keys:
        assert await redis.ttl(key) > 0, key


# Races between readers and events


async def test_a_snapshot_overtaken_by_an_event_does_not_stick(
    cache: Cache, truth: Truth, instruments: Instruments
) -> None:
    ticket = await cache.open_fill([ACCOUNT])
    old = truth.snapshot()
    await cache.apply_events([truth.place(3)])
    assert await cache.fill_static_orders(ticket, [old]) == 0
    assert await read(cache) is None
    assert updates(instruments) == {"absent": 1}
    assert await fill(cache, truth) == 1
    assert await read(cache) == truth.snapshot()


async def test_a_snapshot_as_new_as_the_event_is_taken(cache: Cache, truth: Truth) -> None:
    ticket = await cache.open_fill([ACCOUNT])
    payload = truth.place(3)
    fresh = truth.snapshot()
    await cache.apply_events([payload])
    assert await cache.fill_static_orders(ticket, [fresh]) == 1
    assert await read(cache) == truth.snapshot()


async def test_an_older_fill_never_replaces_a_newer_entry(cache: Cache, truth: Truth) -> None:
    slow = await cache.open_fill([ACCOUNT])
    old = truth.snapshot()
    payload = truth.place(3)
    assert await fill(cache, truth) == 1
    await cache.apply_events([payload])
    assert await cache.fill_static_orders(slow, [old]) == 0
    assert await read(cache) == truth.snapshot()


async def test_a_newer_fill_replaces_an_older_entry(cache: Cache, truth: Truth) -> None:
    await fill(cache, truth)
    truth.place(3)
    assert await fill(cache, truth) == 1
    assert await read(cache) == truth.snapshot()


async def test_a_fill_whose_window_expired_is_refused_though_another_opened(
    cache: Cache, truth: Truth, redis: Redis
) -> None:
    slow = await cache.open_fill([ACCOUNT])
    old = truth.snapshot()
    await redis.delete(filling_key(ACCOUNT))
    await cache.apply_events([truth.place(3)])
    await cache.open_fill([ACCOUNT])
    assert await cache.fill_static_orders(slow, [old]) == 0
    assert await read(cache) is None


async def test_two_readers_share_a_window(cache: Cache, truth: Truth) -> None:
    first = await cache.open_fill([ACCOUNT])
    old = truth.snapshot()
    await cache.apply_events([truth.place(3)])
    second = await cache.open_fill([ACCOUNT])
    assert await cache.fill_static_orders(first, [old]) == 0
    assert await cache.fill_static_orders(second, [truth.snapshot()]) == 1
    assert await read(cache) == truth.snapshot()


async def test_a_window_ends_however_many_join_it(cache: Cache, truth: Truth, redis: Redis) -> None:
    """What it knows may be more than a restored database has, and nothing could be filled."""
    await cache.open_fill([ACCOUNT])
    await redis.expire(filling_key(ACCOUNT), 1)
    await cache.open_fill([ACCOUNT])
    assert await redis.ttl(filling_key(ACCOUNT)) <= 1


async def test_an_event_on_an_absent_entry_makes_none(
    cache: Cache, truth: Truth, redis: Redis
) -> None:
    await cache.apply_events([truth.place(3)])
    assert await redis.keys("*") == []
    assert await read(cache) is None


async def test_a_gap_removes_the_entry(
    cache: Cache, truth: Truth, instruments: Instruments
) -> None:
    await fill(cache, truth)
    truth.place(3)
    await cache.apply_events([truth.place(4)])
    assert await read(cache) is None
    assert updates(instruments) == {"removed": 1}


async def test_a_repeated_event_changes_nothing(
    cache: Cache, truth: Truth, instruments: Instruments
) -> None:
    await fill(cache, truth)
    first, second = truth.open(1, "110.00"), truth.end(2)
    await cache.apply_events([first, second])
    await cache.apply_events([first])
    await cache.apply_events([second, second])
    assert await read(cache) == truth.snapshot()
    assert updates(instruments) == {"applied": 2, "repeated": 3}


async def test_an_entry_that_expired_in_between_is_not_made_of_parts(
    cache: Cache, truth: Truth, redis: Redis
) -> None:
    await fill(cache, truth)
    await cache.apply_events([truth.place(3)])
    await redis.pexpireat(orders_key(ACCOUNT), 1)
    await cache.apply_events([truth.place(4)])
    assert await read(cache) is None


async def test_changed_settings_forget_the_account_and_the_fill_under_way(
    cache: Cache, truth: Truth
) -> None:
    await fill(cache, truth)
    ticket = await cache.open_fill([ACCOUNT])
    old = truth.snapshot()
    await cache.remove_accounts([ACCOUNT])
    assert await cache.fill_static_orders(ticket, [old]) == 0
    assert await read(cache) is None


async def test_an_unreadable_entry_is_an_error_and_goes(
    cache: Cache, truth: Truth, instruments: Instruments, redis: Redis
) -> None:
    await fill(cache, truth)
    await redis.hset(orders_key(ACCOUNT), "1", '{"order_id": "rubbish"}')
    assert await read(cache) is None
    assert results(instruments)["error"] == 1
    assert not await redis.exists(orders_key(ACCOUNT))


async def test_another_process_believes_only_what_it_wrote(
    cache: Cache, truth: Truth, redis_url: str
) -> None:
    successor = Cache(redis_url, Instruments())
    await fill(cache, truth)
    assert await read(successor) is None
    assert await fill(successor, truth) == 1
    assert await read(successor) == truth.snapshot()
    assert await read(cache) is None
    await successor.close()


# Redis fails


async def test_redis_away_from_the_start_is_counted_and_harmless(
    truth: Truth, instruments: Instruments
) -> None:
    cache = Cache(f"redis://127.0.0.1:{free_port()}/0", instruments)
    assert await read(cache) is None
    assert await cache.static_orders([1, 2, 3]) == {}
    assert await cache.open_fill([ACCOUNT]) is None
    assert await cache.fill_static_orders(None, [truth.snapshot()]) == 0
    await cache.apply_events([truth.place(3)])
    assert await cache.groups.prices("gold") is None
    assert await cache.groups.symbols("gold") is None
    assert not await cache.ping()
    assert results(instruments) == {"hit": 0, "miss": 0, "error": 4}
    assert results(instruments, "group_prices")["error"] == 1
    await cache.close()


async def test_redis_restarted_and_empty_fills_anew(
    tmp_path: Path, truth: Truth, instruments: Instruments
) -> None:
    async with EmbeddedValkey(tmp_path / "valkey") as server:
        cache = Cache(server.url, instruments)
        await fill(cache, truth)
        ticket = await cache.open_fill([ACCOUNT])
        old = truth.snapshot()
        await server.stop()
        assert await read(cache) is None
        await cache.apply_events([truth.place(3)])
        await server.start()
        await readable(cache)
        assert await cache.fill_static_orders(ticket, [old]) == 0
        assert await read(cache) is None
        assert await fill(cache, truth) == 1
        assert await read(cache) == truth.snapshot()
        await cache.apply_events([truth.place(4)])
        assert await read(cache) == truth.snapshot()
        await cache.close()


async def test_a_server_back_with_old_data_is_not_believed(
    tmp_path: Path, truth: Truth, instruments: Instruments
) -> None:
    """A restart from a dump can bring back an entry that missed events, and nobody noticed."""
    async with EmbeddedValkey(tmp_path / "valkey") as server:
        cache = Cache(server.url, instruments)
        client = Redis.from_url(server.url)
        await fill(cache, truth)
        dump = await client.dump(orders_key(ACCOUNT)) or b""
        await cache.apply_events([truth.place(3)])
        await client.aclose()
        await server.stop()
        await server.start()
        client = Redis.from_url(server.url)
        await client.restore(orders_key(ACCOUNT), 60_000, dump)
        await client.aclose()
        await readable(cache)
        assert await read(cache) is None
        await cache.close()


async def test_an_event_that_may_be_lost_makes_old_entries_misses(
    hurt: Cache, redis_proxy: FaultProxy, truth: Truth
) -> None:
    await fill(hurt, truth)
    await redis_proxy.cut()
    await hurt.apply_events([truth.place(3)])
    await redis_proxy.restore()
    await readable(hurt)
    assert await read(hurt) is None
    assert await fill(hurt, truth) == 1
    assert await read(hurt) == truth.snapshot()


@pytest.mark.parametrize("moment", list(Moment))
async def test_a_connection_cut_in_a_pipeline_leaves_nothing_half_believed(
    hurt: Cache, redis_proxy: FaultProxy, truth: Truth, moment: Moment
) -> None:
    other = Truth(18)
    await fill(hurt, truth)
    await fill(hurt, other)
    trap = redis_proxy.arm(b":events", moment)
    apply = asyncio.create_task(hurt.apply_events([truth.place(3), other.place(4)]))
    await trap.sprung()
    trap.cut()
    await apply
    await readable(hurt)
    assert await hurt.static_orders([ACCOUNT, 18]) == {}
    for each in (truth, other):
        assert await fill(hurt, each) == 1
    assert await read(hurt) == truth.snapshot()


async def test_a_black_hole_is_waited_for_no_longer_than_the_timeout(
    hurt: Cache, redis_proxy: FaultProxy, truth: Truth, instruments: Instruments
) -> None:
    await fill(hurt, truth)
    redis_proxy.pause()
    assert await read(hurt) is None
    # Left alone after that: many reads cost nothing, and the service goes on.
    for _ in range(1000):
        assert await read(hurt) is None
    assert results(instruments)["error"] == 1001
    redis_proxy.resume()
    await readable(hurt)
    assert await read(hurt) == truth.snapshot()


async def test_answers_that_come_too_late_go_to_nobody(
    hurt: Cache, redis_proxy: FaultProxy, truth: Truth
) -> None:
    """The reply to a read that timed out must not become the next read's reply."""
    other = Truth(18)
    await fill(hurt, truth)
    await fill(hurt, other)
    for _ in range(3):
        redis_proxy.pause()
        assert await read(hurt) is None
        redis_proxy.resume()
        await readable(hurt)
        assert (await hurt.static_orders([18])).get(18) == other.snapshot()


async def test_flushed_scripts_are_loaded_again(cache: Cache, truth: Truth, redis: Redis) -> None:
    await fill(cache, truth)
    await redis.script_flush()
    await cache.apply_events([truth.place(3)])
    await readable(cache)
    assert await fill(cache, truth) == 1
    assert await read(cache) == truth.snapshot()


# Groups


async def test_group_prices_are_read_as_they_were_written(
    cache: Cache, instruments: Instruments
) -> None:
    assert await cache.groups.prices("gold") is None
    euro = PriceView(symbol="EURUSD", sell="1.1", buy="1.2", time="2026-01-05T09:00:00.000Z")
    yen = PriceView(symbol="USDJPY", sell="150.1", buy="150.2", time="2026-01-05T09:00:00.000Z")
    await cache.groups.write_prices({"gold": [euro]})
    await cache.groups.write_prices({"gold": [yen]})
    assert await cache.groups.prices("gold") == {"EURUSD": euro, "USDJPY": yen}
    assert await cache.groups.prices("silver") is None
    assert results(instruments, "group_prices") == {"hit": 1, "miss": 2, "error": 0}
