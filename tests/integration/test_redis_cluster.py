"""The cache and the events on a cluster: every key at its node, and a node's failure survived."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping

import pytest

from service.instruments import Instruments
from service.storage.cache import Cache
from service.storage.cache_keys import orders_key
from service.storage.events import EventFeed
from service.storage.group_views import PriceView
from service.storage.redis_link import RedisLink
from service.storage.redis_servers import SLOTS, slot_of
from tests.redis_cluster import RunningCluster, running_cluster
from tests.support import eventually, free_port
from tests.truth import Truth

ACCOUNTS = range(1, 60)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RunningCluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
async def on_cluster(cluster: RunningCluster, instruments: Instruments) -> AsyncIterator[Cache]:
    cache = Cache(cluster.url, instruments)
    yield cache
    await cache.close()


def truths() -> dict[int, Truth]:
    found = {account_id: Truth(account_id) for account_id in ACCOUNTS}
    for truth in found.values():
        truth.place(1)
    return found


async def fill(cache: Cache, truths: dict[int, Truth]) -> int:
    ticket = await cache.open_fill(list(truths))
    return await cache.fill_static_orders(ticket, [each.snapshot() for each in truths.values()])


async def test_accounts_of_all_nodes_are_filled_moved_on_and_read_at_once(
    on_cluster: Cache, cluster: RunningCluster
) -> None:
    found = truths()
    assert await fill(on_cluster, found) == len(ACCOUNTS)
    assert not await on_cluster.apply_events([each.open(1, "10.00") for each in found.values()])
    read = await on_cluster.static_orders(list(ACCOUNTS))
    assert read == {each: truth.snapshot() for each, truth in found.items()}
    share = SLOTS // 3
    for number, master in enumerate(cluster.masters):
        keys = await master.ask("KEYS", "*orders")
        assert keys, "each node has some"
        assert {slot_of(key.encode()) // share for key in keys} == {number}


async def test_what_changes_a_group_whole_is_not_torn_apart(on_cluster: Cache) -> None:
    groups = on_cluster.groups
    for group in ("gold", "silver", "plain", "vip"):
        first, second = (
            PriceView(symbol=name, sell="1.1", buy="1.2", time="2026-01-05T10:00:00.000Z")
            for name in ("EURUSD", "USDJPY")
        )
        await groups.write_prices({group: [first]})
        await groups.replace_prices(group, [second])
        assert await groups.prices(group) == {"USDJPY": second}
        assert await groups.write_symbols(group, [])


async def test_events_reach_a_listener_from_every_node(
    on_cluster: Cache, cluster: RunningCluster, instruments: Instruments
) -> None:
    class NoOutbox:
        async def events_after(self, sequences: Mapping[int, int], limit: int) -> list[bytes]:
            return []

    heard: list[bytes] = []
    found = truths()
    feed = EventFeed(cluster.url, NoOutbox(), instruments, lambda account_id: 0)
    running = asyncio.create_task(feed.run())
    try:
        for account_id in ACCOUNTS:
            await feed.subscribe(account_id, 1, heard.append)
        await eventually(lambda: all(each.is_live for each in feed._accounts.values()))
        events = [each.open(1, "10.00") for each in found.values()]
        await on_cluster.apply_events(events)
        await eventually(lambda: len(heard) == len(events))
        assert sorted(heard) == sorted(events)
    finally:
        running.cancel()
        await asyncio.wait((running,))


async def test_a_slot_that_has_moved_is_found_again(
    cluster: RunningCluster, instruments: Instruments
) -> None:
    replaced: list[bool] = []
    link = RedisLink(cluster.url, instruments, (), lambda: replaced.append(True))
    slot = slot_of(b"{moved}")
    before = slot * 3 // SLOTS

    async def ask() -> list[object]:
        return await link.pipeline([("GET", "{moved}:a"), ("GET", "{other}:b"), ("PING",)])

    try:
        assert await link.call("read_orders", 5, ask) == [None, None, b"PONG"]
        await cluster.move(slot, (before + 1) % 3)
        assert await link.call("read_orders", 5, ask) == [None, None, b"PONG"]
        assert replaced == [True], "the new owner may not have what the former one had"
    finally:
        await cluster.move(slot, before)
        await link.close()


async def test_what_is_on_its_way_is_found_at_either_end(
    cluster: RunningCluster, instruments: Instruments
) -> None:
    link = RedisLink(cluster.url, instruments, (), lambda: None)
    slot = slot_of(b"{way}")
    former = cluster.masters[slot * 3 // SLOTS]
    next_ = cluster.masters[(slot * 3 // SLOTS + 1) % 3]

    async def ask() -> list[object]:
        return await link.pipeline(
            [
                *[("GET", f"{{way}}:{each}") for each in "abc"],
                *[("SET", "{way}:c", "3"), ("GET", "{way}:c"), ("GET", "{other}:a")],
            ]
        )

    async def ask_for_both() -> list[object]:
        return await link.pipeline([("DEL", "{way}:a", "{way}:b")])

    try:
        await former.ask("MSET", "{way}:a", "1", "{way}:b", "2")
        await next_.ask(
            "CLUSTER", "SETSLOT", slot, "IMPORTING", await former.ask("CLUSTER", "MYID")
        )
        await former.ask(
            "CLUSTER", "SETSLOT", slot, "MIGRATING", await next_.ask("CLUSTER", "MYID")
        )
        await former.ask("MIGRATE", "127.0.0.1", next_.port, "{way}:a", 0, 1_000)
        assert await link.call("read_orders", 5, ask) == [b"1", b"2", None, b"OK", b"3", None]
        assert await link.call("read_orders", 5, ask_for_both) is None
        await former.ask("MIGRATE", "127.0.0.1", next_.port, "{way}:b", 0, 1_000)
        assert await link.call("read_orders", 5, ask_for_both) == [2]
        assert await link.call("read_orders", 5, ask) == [None, None, b"3", b"OK", b"3", None]
    finally:
        await cluster.move(slot, cluster.masters.index(next_))
        await next_.ask("DEL", "{way}:c")
        await cluster.move(slot, cluster.masters.index(former))
        await link.close()


async def test_the_state_of_a_cluster_is_that_of_all_its_masters(
    on_cluster: Cache, cluster: RunningCluster
) -> None:
    before = await on_cluster.state()
    await on_cluster.static_orders(list(range(1_001, 1_061)))
    after = await on_cluster.state()
    assert before is not None
    assert after is not None
    assert after.keyspace_misses == before.keyspace_misses + 60
    assert after.clients >= 3


async def test_a_node_that_is_away_does_not_keep_others_from_answering(
    instruments: Instruments,
) -> None:
    with running_cluster() as cluster:
        cache = Cache(cluster.url, instruments)
        try:
            found = truths()
            assert await fill(cache, found) == len(ACCOUNTS)
            away = {
                each for each in ACCOUNTS if slot_of(orders_key(each).encode()) * 3 // SLOTS == 1
            }
            others = [each for each in ACCOUNTS if each not in away]
            cluster.masters[1].kill()
            assert await cache.static_orders(list(ACCOUNTS)) == {}
            assert await cache.static_orders(list(away)) == {}
            for _ in range(20):
                assert len(await cache.static_orders(others)) == len(others)
            assert not await cache.ping()
            assert len(await cache.static_orders(others)) == len(others)
            assert await cache.apply_events([each.open(1, "10.00") for each in found.values()])
            assert not await cache.apply_events([found[each].fund("1.00") for each in others])
        finally:
            await cache.close()


async def test_a_master_that_dies_is_followed_by_its_replica(instruments: Instruments) -> None:
    with running_cluster(replicas=True) as cluster:
        cache = Cache(cluster.url, instruments)
        try:
            found = truths()
            assert await fill(cache, found) == len(ACCOUNTS)
            assert await cache.ping()
            cluster.masters[0].kill()
            async with asyncio.timeout(60):
                while not await cache.ping():  # noqa: ASYNC110 - another process's state
                    await asyncio.sleep(0.1)
            # Nothing from before is believed, since the replica may lack what came last.
            assert await cache.static_orders(list(ACCOUNTS)) == {}
            assert await fill(cache, found) == len(ACCOUNTS)
            assert len(await cache.static_orders(list(ACCOUNTS))) == len(ACCOUNTS)
        finally:
            await cache.close()


async def test_a_cluster_that_is_away_is_a_miss(instruments: Instruments) -> None:
    cache = Cache(f"redis+cluster://127.0.0.1:{free_port()}", instruments)
    try:
        assert not await cache.ping()
        assert await cache.static_orders([1]) == {}
    finally:
        await cache.close()
