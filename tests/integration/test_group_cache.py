"""Copies of a group's symbols: kept in the process until an event tells of a change (R10.2)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec
import pytest
import redis.asyncio

from service.instruments import Instruments
from service.storage import conversation
from service.storage.cache import Cache
from service.storage.cache_keys import symbols_key
from service.storage.embedded import EmbeddedValkey
from service.storage.events import EventFeed
from service.storage.group_cache import GroupCache
from service.storage.group_views import GroupSymbolView, group_symbol_view
from telemetry import catalogue
from tests.support import eventually, free_port
from tests.trading_desk import make_desk


class NoOutbox:
    async def events_after(self, sequences: Mapping[int, int], limit: int) -> list[bytes]:
        return []


class Process:
    """One process's cache and event feed."""

    def __init__(self, url: str) -> None:
        self.instruments = Instruments()
        self.cache = Cache(url, self.instruments)
        self.feed = EventFeed(url, NoOutbox(), self.instruments, lambda account_id: 0)
        self.feed.settings_listeners.append(self.cache.groups)

    @property
    def groups(self) -> GroupCache:
        return self.cache.groups

    @property
    def copies(self) -> dict[str, float]:
        family = self.instruments.metrics.counter(catalogue.CACHE_REQUESTS)
        return {each: family.child("group_symbols_copy", each).value for each in ("hit", "miss")}

    @property
    def reads(self) -> int:
        family = self.instruments.metrics.histogram(catalogue.STORE_OPERATION)
        return family.child("redis", "read_symbols").count

    async def listening(self) -> None:
        """Wait until copies are kept."""
        async with asyncio.timeout(30):
            while True:
                before = self.copies
                await self.groups.symbols("nobody")
                if self.copies != before:
                    return
                await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "RECONNECT_S", 0.1)


@contextlib.asynccontextmanager
async def process(url: str) -> AsyncIterator[Process]:
    process = Process(url)
    task = asyncio.create_task(process.feed.run())
    try:
        await process.listening()
        yield process
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await process.cache.close()


def symbols(spread: str = "0") -> list[GroupSymbolView]:
    desk = make_desk()
    views = [group_symbol_view(terms) for (name, _), terms in desk.terms.items() if name == "gold"]
    return [msgspec.structs.replace(view, spread=spread) for view in views]


async def store_quietly(redis_url: str, views: list[GroupSymbolView]) -> None:
    """Store symbols without telling anybody."""
    client = redis.asyncio.Redis.from_url(redis_url)
    await client.set(symbols_key("gold"), msgspec.json.encode(views), ex=60)
    await client.aclose()


async def test_who_writes_reads_what_it_wrote_at_once(redis_url: str) -> None:
    async with process(redis_url) as one:
        for spread in ("1", "2", "3"):
            await one.groups.write_symbols("gold", symbols(spread))
            assert await one.groups.symbols("gold") == symbols(spread)


async def test_symbols_are_read_once_until_they_change(redis_url: str) -> None:
    async with process(redis_url) as one:
        await store_quietly(redis_url, symbols())
        before, copies = one.reads, one.copies
        for _ in range(5):
            assert await one.groups.symbols("gold") == symbols()
        assert one.reads == before + 1
        assert one.copies == {"hit": copies["hit"] + 4, "miss": copies["miss"] + 1}


async def test_a_change_elsewhere_drops_the_copy_of_that_group_alone(redis_url: str) -> None:
    async with process(redis_url) as trader, process(redis_url) as standby:
        for group in ("gold", "silver"):
            await trader.groups.write_symbols(group, symbols())
        for group in ("gold", "silver"):
            await standby.groups.symbols(group)
        await trader.groups.write_symbols("gold", symbols("7"))
        async with asyncio.timeout(30):
            while await standby.groups.symbols("gold") != symbols("7"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        reads = standby.reads
        await standby.groups.symbols("silver")
        assert standby.reads == reads


async def test_a_market_read_takes_the_copy_too(redis_url: str) -> None:
    async with process(redis_url) as one:
        await store_quietly(redis_url, symbols())
        first = await one.groups.market("gold")
        client = redis.asyncio.Redis.from_url(redis_url)
        await client.delete(symbols_key("gold"))  # told to nobody: the copy stands
        await client.aclose()
        second = await one.groups.market("gold")
        assert first is not None
        assert second is not None
        assert first.symbols == second.symbols == symbols()
        assert first.prices is None


async def test_nothing_is_copied_by_who_does_not_listen(redis_url: str) -> None:
    instruments = Instruments()
    cache = Cache(redis_url, instruments)
    await cache.groups.write_symbols("gold", symbols())
    assert await cache.groups.symbols("gold") == symbols()
    await cache.groups.write_symbols("gold", symbols("7"))
    assert await cache.groups.symbols("gold") == symbols("7")
    family = instruments.metrics.counter(catalogue.CACHE_REQUESTS)
    assert [family.child("group_symbols_copy", each).value for each in ("hit", "miss")] == [0, 0]
    await cache.close()


async def test_what_changed_while_it_was_read_is_not_kept(redis_url: str) -> None:
    cache = Cache(redis_url, Instruments())
    cache.groups.listen(True)
    await cache.groups.write_symbols("gold", symbols())
    reading = asyncio.create_task(cache.groups.symbols("gold"))
    await asyncio.sleep(0)
    cache.groups.forget_symbols("gold")  # overtakes the answer
    await reading
    await cache.groups.write_symbols("gold", symbols("7"))
    assert await cache.groups.symbols("gold") == symbols("7")
    await cache.close()


async def test_copies_end_with_the_connection_that_would_tell(tmp_path: Path) -> None:
    async with (
        EmbeddedValkey(tmp_path / "valkey", free_port()) as valkey,
        process(valkey.url) as one,
    ):
        await one.groups.write_symbols("gold", symbols())
        assert await one.groups.symbols("gold") == symbols()
        await valkey.stop()
        await eventually(lambda: not one.feed.is_connected)
        assert await one.groups.symbols("gold") is None
        await valkey.start()  # and what it held is gone
        await one.listening()
        async with asyncio.timeout(30):
            while await one.groups.symbols("gold") is None:
                await one.groups.write_symbols("gold", symbols("7"))
        assert await one.groups.symbols("gold") == symbols("7")
