"""Of several feeds one writes the ticks, and another goes on when it stops, dies or hangs."""

import asyncio
from urllib.parse import urlsplit

import pytest

from service.instruments import Instruments
from service.loops.feed_duty import FeedDuty
from service.loops.tick_stream import TickWriter
from service.storage.database import Database, apply_migrations
from service.storage.streams import Streams
from tests.adversity.book import execute, fetch
from tests.faultproxy import FaultProxy
from tests.support import eventually

LIFE_S = 1.0


class Feed:
    """A feed's part in it; nothing is written to Redis."""

    def __init__(self, dsn: str, name: str) -> None:
        instruments = Instruments()
        self.writer = TickWriter(Streams("redis://127.0.0.1:1", instruments))
        self.database = Database(dsn, instruments, 2)
        self.duty = FeedDuty(self.database, self.writer, name, LIFE_S)
        self.running = asyncio.create_task(self.duty.run())

    async def die(self) -> None:
        self.running.cancel()
        await asyncio.wait((self.running,))
        await self.database.close()


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
        assert await epoch_in(dsn) == 1
        await leader.die()
        await eventually(lambda: standby.writer.is_leading)
        assert await epoch_in(dsn) == 2
    finally:
        for each in feeds:
            await each.die()


async def test_a_feed_that_stops_lets_the_next_one_in_at_once(dsn: str) -> None:
    first = Feed(dsn, "one")
    await eventually(lambda: first.writer.is_leading)
    await execute(dsn, "UPDATE feed_lease SET expires_at = now() + interval '1 hour'")
    first.running.cancel()
    await asyncio.wait((first.running,))
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
            "UPDATE feed_lease SET epoch = 7, holder = 'two', "
            "expires_at = now() + interval '1 hour'",
        )
        await eventually(lambda: not feed.writer.is_leading)
        await execute(dsn, "UPDATE feed_lease SET expires_at = now()")
        await eventually(lambda: feed.writer.is_leading)
        assert await epoch_in(dsn) == 8
    finally:
        await feed.die()


async def test_a_feed_writes_on_while_the_database_is_away(dsn: str) -> None:
    parts = urlsplit(dsn)
    async with FaultProxy(str(parts.hostname), int(str(parts.port))) as proxy:
        user, _, _ = parts.netloc.rpartition("@")
        through = parts._replace(netloc=f"{user}@127.0.0.1:{proxy.port}").geturl()
        feed = Feed(through, "one")
        try:
            await eventually(lambda: feed.writer.is_leading)
            await proxy.cut()
            asked = feed.duty.pulse.beats
            await eventually(lambda: feed.duty.pulse.beats > asked + 4)
            assert feed.writer.is_leading, "nobody else can have the lease either"
            await proxy.restore()
            asked = feed.duty.pulse.beats
            await eventually(lambda: feed.duty.pulse.beats > asked + 4)
            assert feed.writer.is_leading
            assert await epoch_in(dsn) == 1
        finally:
            await feed.die()
