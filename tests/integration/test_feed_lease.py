"""Of several feeds one writes the ticks, and another goes on when it stops, dies or hangs."""

import asyncio

import pytest

from service.domain.quote import Quote
from service.instruments import Instruments
from service.loops.feed_duty import FeedDuty
from service.loops.tick_stream import TickReader, TickWriter
from service.storage.database import Database, apply_migrations
from service.storage.streams import Streams
from telemetry import catalogue
from tests.adversity.book import execute, fetch
from tests.proxied import in_front_of, through
from tests.support import eventually

LIFE_S = 1.0
AHEAD = 10**15  # of the clock
BACKUP = "CREATE TABLE backup AS SELECT * FROM feed_lease"
RESTORE = """
UPDATE feed_lease SET (epoch, holder, expires_at) = (SELECT epoch, holder, expires_at FROM backup)
"""


class Feed:
    """A feed's part in it; nothing is written to Redis, unless to `url`."""

    def __init__(self, dsn: str, name: str, url: str = "redis://127.0.0.1:1") -> None:
        instruments = Instruments()
        self.streams = Streams(url, instruments)
        self.writer = TickWriter(self.streams)
        self.database = Database(dsn, instruments, 2)
        self.duty = FeedDuty(self.database, self.writer, name, LIFE_S)
        self.running = [asyncio.create_task(each.run()) for each in (self.duty, self.writer)]

    async def die(self) -> None:
        for task in self.running:
            task.cancel()
        await asyncio.wait(self.running)
        await self.database.close()
        await self.streams.close()


@pytest.fixture
async def dsn(postgres_dsn: str) -> str:
    await apply_migrations(postgres_dsn)
    return postgres_dsn


async def epoch_in(dsn: str) -> int:
    [(epoch,)] = await fetch(dsn, "SELECT epoch FROM feed_lease")
    return int(epoch)


async def test_one_of_two_writes_and_the_other_after_it_has_died(dsn: str) -> None:
    feeds = [Feed(dsn, name) for name in ("one", "two")]
    try:
        await eventually(lambda: any(each.writer.is_leading for each in feeds))
        [standby] = [each for each in feeds if not each.writer.is_leading]
        [leader] = [each for each in feeds if each.writer.is_leading]
        for _ in range(3):  # renewed, it is nobody else's
            await asyncio.sleep(LIFE_S / 2)
            assert not standby.writer.is_leading
        epoch = await epoch_in(dsn)
        await leader.die()
        await eventually(lambda: standby.writer.is_leading)
        assert await epoch_in(dsn) > epoch
    finally:
        for each in feeds:
            await each.die()


async def test_a_feed_that_stops_lets_the_next_one_in_at_once(dsn: str) -> None:
    first = Feed(dsn, "one")
    await eventually(lambda: first.writer.is_leading)
    await execute(dsn, "UPDATE feed_lease SET expires_at = now() + interval '1 hour'")
    first.running[0].cancel()
    await asyncio.wait(first.running[:1])
    await first.duty.stop()
    assert not first.writer.is_leading
    second = Feed(dsn, "two")
    try:
        await eventually(lambda: second.writer.is_leading)
    finally:
        await first.die()
        await second.die()


async def test_a_feed_that_lost_the_lease_rests_when_it_hears_of_it(dsn: str) -> None:
    feed = Feed(dsn, "one")
    try:
        await eventually(lambda: feed.writer.is_leading)
        await execute(
            dsn,
            f"UPDATE feed_lease SET epoch = {AHEAD}, holder = 'two', "
            "expires_at = now() + interval '1 hour'",
        )
        await eventually(lambda: not feed.writer.is_leading)
        await execute(dsn, "UPDATE feed_lease SET expires_at = now()")
        await eventually(lambda: feed.writer.is_leading)
        assert await epoch_in(dsn) == AHEAD + 1
    finally:
        await feed.die()


async def test_a_feed_writes_on_while_the_database_is_away(dsn: str) -> None:
    async with in_front_of(dsn) as proxy:
        feed = Feed(through(proxy, dsn), "one")
        try:
            await eventually(lambda: feed.writer.is_leading)
            epoch = await epoch_in(dsn)
            await proxy.cut()
            asked = feed.duty.pulse.beats
            await eventually(lambda: feed.duty.pulse.beats > asked + 4)
            assert feed.writer.is_leading, "nobody else can have the lease either"
            await proxy.restore()
            asked = feed.duty.pulse.beats
            await eventually(lambda: feed.duty.pulse.beats > asked + 4)
            assert feed.writer.is_leading
            assert await epoch_in(dsn) == epoch
        finally:
            await feed.die()


async def test_readers_believe_the_feed_of_a_restored_database(dsn: str, redis_url: str) -> None:
    """Neither who read on meanwhile takes it for a former feed, whoever it is, nor is one lost."""
    taken: list[int] = []
    instruments = Instruments()
    streams = Streams(redis_url, instruments)
    reader = TickReader(streams)
    reader.hand_to(lambda quote, arrived_ns=None: taken.append(quote.bid))
    reading = asyncio.create_task(reader.run())
    feeds: list[Feed] = []

    async def begin(name: str) -> Feed:
        feeds.append(Feed(dsn, name, redis_url))
        await eventually(lambda: feeds[-1].writer.is_leading)
        return feeds[-1]

    async def write(feed: Feed, number: int) -> None:
        feed.writer.take(Quote("EURUSD", number, number + 1, number))
        await eventually(lambda: taken == list(range(number + 1)))

    try:
        await eventually(lambda: reader.is_connected)
        former = await begin("one")
        await write(former, 0)
        await execute(dsn, BACKUP)
        await former.die()
        going_on = await begin("two")
        await write(going_on, 1)
        epoch = await epoch_in(dsn)
        await execute(dsn, RESTORE)
        assert await epoch_in(dsn) < epoch
        asked = going_on.duty.pulse.beats
        await eventually(lambda: going_on.duty.pulse.beats > asked + 1)
        assert await epoch_in(dsn) > epoch, "it has taken it anew"
        await write(going_on, 2)
        await going_on.die()
        await execute(dsn, RESTORE)
        await write(await begin("three"), 3)
        assert instruments.metrics.counter(catalogue.TICKS_LOST).child().value == 0
    finally:
        reading.cancel()
        await asyncio.wait((reading,))
        await streams.close()
        for each in feeds:
            await each.die()
