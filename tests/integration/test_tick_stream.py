"""Every tick is handed on once and in order, or counted as lost and told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from loguru import logger
from redis.asyncio import Redis

from service.domain.quote import Quote
from service.instruments import Instruments
from service.loops.tick_stream import TickReader, TickWriter
from service.storage.redis_servers import SLOTS, slot_of
from service.storage.streams import Streams
from telemetry import catalogue
from tests.faultproxy import FaultProxy
from tests.proxied import through
from tests.redis_cluster import running_cluster
from tests.support import eventually

KEY = "{ticks}"


def quotes(first: int, end: int) -> list[Quote]:
    return [Quote("EURUSD", number, number + 10, number) for number in range(first, end)]


class Market:
    """A feed's writer and an engine's reader; `feed_url` may be another way to the same server."""

    def __init__(self, url: str, feed_url: str) -> None:
        self.instruments = Instruments()
        self.at_feed = Streams(feed_url, self.instruments)
        self.at_engine = Streams(url, self.instruments)
        self.writer = TickWriter(self.at_feed)
        self.reader = TickReader(self.at_engine)
        self.taken: list[Quote] = []
        self.arrivals: list[int] = []
        self.gaps = 0
        self.reader.hand_to(self._take)
        self.reader.gap_hooks.append(self._gap)

    def _take(self, quote: Quote, arrived_ns: int | None = None) -> None:
        assert arrived_ns is not None
        self.taken.append(quote)
        self.arrivals.append(arrived_ns)

    def _gap(self) -> None:
        self.gaps += 1

    def write(self, some: list[Quote]) -> None:
        for quote in some:
            self.writer.take(quote)

    @property
    def lost(self) -> float:
        return self.instruments.metrics.counter(catalogue.TICKS_LOST).child().value


@asynccontextmanager
async def market(url: str, feed_url: str | None = None) -> AsyncIterator[Market]:
    market = Market(url, feed_url or url)
    running = [asyncio.create_task(each.run()) for each in (market.writer, market.reader)]
    try:
        await eventually(lambda: market.reader.is_connected)
        yield market
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        for task in running:
            assert task.cancelled(), task.exception()
        await market.at_feed.close()
        await market.at_engine.close()


async def test_ticks_travel_in_batches_and_keep_their_order(redis: Redis, redis_url: str) -> None:
    async with market(redis_url) as here:
        here.writer.lead(1)
        here.write(quotes(0, 1_000))
        await eventually(lambda: len(here.taken) == 1_000)
        assert here.taken == quotes(0, 1_000)
        assert here.writer.written == 1_000
        assert await redis.xlen(KEY) == 16
        assert 0 < await redis.ttl(KEY) <= 3600
        assert (here.lost, here.gaps) == (0, 0)


async def test_a_standby_feed_writes_nothing_and_begins_with_the_last_quotes(
    redis: Redis, redis_url: str
) -> None:
    async with market(redis_url) as here:
        here.write(quotes(0, 100))
        here.writer.lead(1)
        here.write(quotes(100, 200))
        await eventually(lambda: len(here.taken) == 101)
        here.writer.rest()
        here.write([Quote("GBPUSD", 1, 2, 3)])
        here.write(quotes(200, 300))
        here.writer.lead(2)
        here.write(quotes(300, 400))
        await eventually(lambda: len(here.taken) == 203)
        last = [Quote("GBPUSD", 1, 2, 3), *quotes(299, 300)]
        assert here.taken == [*quotes(99, 200), *last, *quotes(300, 400)]
        assert here.lost == 0
        assert here.arrivals == sorted(here.arrivals)


async def test_a_feed_that_gets_another_epoch_loses_nothing_that_waits(redis_url: str) -> None:
    async with market(redis_url) as here:
        here.writer.lead(1)
        here.write(quotes(0, 10))
        here.writer.lead(2)
        here.write(quotes(10, 20))
        await eventually(lambda: len(here.taken) == 20)
        assert here.taken == quotes(0, 20)
        assert here.lost == 0


async def test_ticks_of_a_former_feed_are_refused_and_told_once(redis_url: str) -> None:
    told: list[str] = []
    sink = logger.add(told.append, level="WARNING", format="{message}")
    async with market(redis_url) as here, market(redis_url) as former:
        former.writer.lead(1)
        former.write(quotes(0, 10))
        await eventually(lambda: len(here.taken) == 10)
        here.writer.lead(2)
        here.write(quotes(10, 20))
        await eventually(lambda: len(here.taken) == 20)
        former.write(quotes(5, 6))
        await eventually(lambda: former.writer.written == 11)
        former.write(quotes(6, 8))
        await eventually(lambda: former.writer.written == 13)
        here.write(quotes(20, 30))
        await eventually(lambda: len(here.taken) >= 30)
        assert here.taken == quotes(0, 30)
        assert here.lost == 0
    logger.remove(sink)
    refused = "ticks under epoch 1 are refused: they are a former feed's, 2 has written\n"
    assert told == [refused] * 2, "by each reader"


async def test_ticks_wait_while_redis_is_away_and_come_once(
    redis_proxy: FaultProxy, redis_url: str
) -> None:
    async with market(redis_url, through(redis_proxy, redis_url)) as here:
        here.writer.lead(1)
        here.write(quotes(0, 100))
        await eventually(lambda: len(here.taken) == 100)
        redis_proxy.is_deaf = True  # it is written, and the feed does not hear of it
        here.write(quotes(100, 200))
        await eventually(lambda: len(here.taken) == 200)
        await redis_proxy.cut()
        redis_proxy.is_deaf = False
        here.write(quotes(200, 300))
        await redis_proxy.restore()
        await eventually(lambda: len(here.taken) == 300)
        assert here.taken == quotes(0, 300)
        assert here.lost == 0


async def test_what_cannot_wait_any_more_is_counted_and_seen_as_a_gap(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.loops.tick_stream.WAITING_LIMIT", 100)
    async with market(redis_url) as here:
        here.writer.lead(1)
        here.write(quotes(0, 10))
        await eventually(lambda: len(here.taken) == 10)
        here.write(quotes(10, 115))  # at once: nothing can be written in between
        await eventually(lambda: here.taken[-1:] == quotes(114, 115))
        assert here.taken == [*quotes(0, 10), *quotes(20, 115)]
        assert here.gaps == 1
        assert here.lost == 10 + 10, "by the writer, and by the reader"


async def test_what_was_trimmed_before_it_was_read_is_a_gap(
    redis: Redis, redis_proxy: FaultProxy, redis_url: str
) -> None:
    async with market(through(redis_proxy, redis_url), redis_url) as here:
        here.writer.lead(1)
        here.write(quotes(0, 64))
        await eventually(lambda: len(here.taken) == 64)
        await redis_proxy.cut()
        here.write(quotes(64, 3 * 64))
        await eventually(lambda: here.writer.written == 3 * 64)
        await redis.xtrim(KEY, maxlen=1, approximate=False)
        assert here.reader.lag_s >= 0
        await redis_proxy.restore()
        await eventually(lambda: len(here.taken) == 2 * 64)
        assert here.taken == [*quotes(0, 64), *quotes(128, 192)]
        assert (here.lost, here.gaps) == (64, 1)


async def test_an_engine_that_fails_on_a_tick_goes_on_behind_it(redis_url: str) -> None:
    """Whoever supervises the reader starts it again; what was read with it is told as lost."""
    async with market(redis_url) as here:
        here.writer.lead(1)
        here.write(quotes(0, 5))
        await eventually(lambda: len(here.taken) == 5)
        other = TickReader(here.at_engine)

        def fail(quote: Quote, arrived_ns: int | None = None) -> None:
            if quote.bid == 7:
                raise RuntimeError("poison")

        def take(quote: Quote, arrived_ns: int | None = None) -> None:
            taken.append(quote)

        taken: list[Quote] = []
        gaps: list[bool] = []
        other.hand_to(fail)
        other.hand_to(take)
        other.gap_hooks.append(lambda: gaps.append(True))
        running = asyncio.create_task(other.run())
        await eventually(lambda: other.is_connected)
        here.write(quotes(5, 10))
        with pytest.raises(RuntimeError, match="poison"):
            await running
        running = asyncio.create_task(other.run())
        here.write(quotes(10, 12))
        await eventually(lambda: len(taken) == 4)
        running.cancel()
        await asyncio.wait((running,))
        assert taken == [*quotes(5, 7), *quotes(10, 12)]
        assert gaps == [True]


async def test_a_master_that_dies_costs_no_tick_unnoticed() -> None:
    """What it had not told its replica is lost with it, and told; all else comes once."""
    with running_cluster(replicas=True) as cluster:
        async with market(cluster.url) as here:
            here.writer.lead(1)
            here.write(quotes(0, 200))
            await eventually(lambda: len(here.taken) == 200)
            cluster.masters[slot_of(KEY.encode()) * 3 // SLOTS].kill()
            for first in range(200, 2_200, 10):
                here.write(quotes(first, first + 10))
                await asyncio.sleep(0.001)
            await eventually(lambda: here.taken[-1:] == quotes(2_199, 2_200))
            bids = [quote.bid for quote in here.taken]
            assert bids == sorted(set(bids))
            assert len(bids) + here.lost == 2_200
            assert here.lost == 0 or here.gaps
