"""The cache under any order of reads, fills, events, losses and expiries (R1).

Whatever happens, what the cache finds is the account as it stood at some sequence, and never at one
before an event that was published or lost.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.instruments import Instruments
from service.storage.cache import Cache, StaticOrders, Ticket, Version
from service.storage.cache_keys import filling_key, orders_key
from service.storage.embedded import EmbeddedValkey
from tests.truth import Truth

ACCOUNT = 17
STEPS = (
    *("commit", "commit", "publish", "publish", "publish_last", "repeat", "lose"),
    *("open", "open", "snapshot", "fill", "fill", "expire_entry", "expire_window", "restart"),
    *("remember", "remove"),
)


class World:
    """One account, its cache, and readers at any stage of a fill."""

    def __init__(self, cache: Cache, client: redis.asyncio.Redis) -> None:
        self.cache = cache
        self.client = client
        self.truth = Truth(ACCOUNT)
        self.unpublished: list[bytes] = []
        self.readers: list[tuple[Ticket | None, StaticOrders | None]] = []
        self.known = 0
        """The newest sequence that was published, or lost in the attempt."""
        self.remembered: tuple[Version, StaticOrders] | None = None

    async def step(self, name: str, pick: int) -> None:
        truth, cache = self.truth, self.cache
        match name:
            case "commit":
                self.unpublished.append(self._happen(pick))
            case "publish" if self.unpublished:
                await self._publish(self.unpublished.pop(0))
            case "publish_last" if self.unpublished:
                await self._publish(self.unpublished.pop())
            case "repeat" if truth.sequence:
                payload = truth.payloads[pick % truth.sequence]
                if payload not in self.unpublished:
                    await self._publish(payload)
            case "lose" if self.unpublished:
                payload = self.unpublished.pop(0)
                self.known = max(self.known, truth.payloads.index(payload) + 1)
                cache.renew()
            case "open":
                self.readers.append((await cache.open_fill([ACCOUNT]), None))
            case "snapshot" if self.readers:
                index = pick % len(self.readers)
                self.readers[index] = (self.readers[index][0], truth.snapshot())
            case "fill" if self.readers:
                ticket, snapshot = self.readers.pop(pick % len(self.readers))
                snapshot = truth.snapshot() if snapshot is None else snapshot
                await cache.fill_static_orders(ticket, [snapshot])
            case "expire_entry":
                await self.client.delete(orders_key(ACCOUNT))
            case "expire_window":
                await self.client.delete(filling_key(ACCOUNT))
            case "remove":
                await cache.remove_accounts([ACCOUNT])
            case "remember":
                changes = await cache.changed_static_orders([ACCOUNT], {})
                if changes.found:
                    self.remembered = changes.versions[ACCOUNT], changes.found[ACCOUNT]
            case "restart":
                await self.client.flushall()
                cache.renew()

    async def check(self) -> bool:
        found = await self.cache.get_user_static_orders_cache(ACCOUNT)
        if self.remembered is not None:
            version, orders = self.remembered
            changes = await self.cache.changed_static_orders([ACCOUNT], {ACCOUNT: version})
            assert found == (orders if changes.same else changes.found.get(ACCOUNT))
        if found is None:
            return False
        sequence = found[0].sequence
        assert found == self.truth.history[sequence]
        assert sequence >= self.known
        return True

    async def _publish(self, payload: bytes) -> None:
        self.known = max(self.known, self.truth.payloads.index(payload) + 1)
        await self.cache.apply_events([payload])

    def _happen(self, pick: int) -> bytes:
        truth = self.truth
        live = sorted(truth.orders)
        if not live or pick % 4 == 0:
            return truth.place(truth.sequence + 1)
        order_id = live[pick % len(live)]
        if pick % 4 == 1:
            return truth.end(order_id)
        if pick % 4 == 2:
            return truth.modify(order_id, f"1.{truth.sequence:05d}")
        return truth.fund("1.00")


Run = Callable[[list[tuple[str, int]]], None]


@pytest.fixture
def run(valkey_server: EmbeddedValkey) -> Iterator[Run]:
    """Play steps on a cache that is kept, in a Redis that is emptied, for each example."""
    with asyncio.Runner() as runner:

        async def make() -> tuple[Cache, redis.asyncio.Redis]:
            client = redis.asyncio.Redis.from_url(valkey_server.url)
            return Cache(valkey_server.url, Instruments()), client

        cache, client = runner.run(make())

        async def play(steps: list[tuple[str, int]]) -> None:
            await client.flushall()
            cache.renew()
            world = World(cache, client)
            for name, pick in steps:
                await world.step(name, pick)
                await world.check()
            for payload in world.unpublished:
                await cache.apply_events([payload])
            world.known = world.truth.sequence
            await world.check()
            ticket = await cache.open_fill([ACCOUNT])
            await cache.fill_static_orders(ticket, [world.truth.snapshot()])
            assert await world.check()

        yield lambda steps: runner.run(play(steps))

        async def close() -> None:
            await cache.close()
            await client.aclose()

        closing: Coroutine[Any, Any, None] = close()
        runner.run(closing)


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 1000)), max_size=30))
def test_what_is_found_is_whole_and_never_out_of_date(
    run: Run, steps: list[tuple[str, int]]
) -> None:
    run(steps)
