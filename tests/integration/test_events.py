"""The event feed on a real Valkey: each event once, in order, whatever is lost on the way."""

import asyncio
import contextlib
import copy
import random
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import msgspec
import pytest
import redis.asyncio

from service.instruments import Instruments
from service.storage import conversation, events
from service.storage.cache import Cache
from service.storage.cache_keys import events_channel
from service.storage.embedded import EmbeddedValkey
from service.storage.errors import Unreachable
from service.storage.events import EventFeed
from telemetry import catalogue
from tests.integration.test_cache import readable
from tests.proxied import in_front_of, through
from tests.support import eventually
from tests.truth import Truth

ACCOUNT = 17


class Outbox:
    """The committed truth of some accounts, as the database would tell it."""

    def __init__(self) -> None:
        self.truths: dict[int, Truth] = {}
        self.is_away = False
        self.reads = 0

    def account(self, account_id: int) -> Truth:
        return self.truths.setdefault(account_id, Truth(account_id))

    def latest(self, account_id: int) -> int:
        return self.account(account_id).sequence

    async def events_after(self, sequences: Mapping[int, int], limit: int) -> list[bytes]:
        self.reads += 1
        await asyncio.sleep(0)
        if self.is_away:
            raise Unreachable("connection refused")
        found = [
            payload
            for account_id, sequence in sequences.items()
            for payload in self.account(account_id).events_after(sequence, limit)
        ]
        return found[:limit]


class Listener:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    def __call__(self, payload: bytes) -> None:
        self.payloads.append(payload)

    @property
    def sequences(self) -> list[int]:
        return [msgspec.json.decode(payload)["sequence"] for payload in self.payloads]


@pytest.fixture(autouse=True)
def no_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The poll finds whatever is missing: without it the tests see what comes at once."""
    monkeypatch.setattr(events, "POLL_S", 3600.0)
    monkeypatch.setattr(conversation, "RECONNECT_S", 0.1)


@pytest.fixture
def polls(no_polls: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "POLL_S", 0.1)


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


@contextlib.asynccontextmanager
async def running(feed: EventFeed) -> AsyncIterator[EventFeed]:
    task = asyncio.create_task(feed.run())
    try:
        yield feed
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def feed(
    redis_url: str, outbox: Outbox, instruments: Instruments
) -> AsyncIterator[EventFeed]:
    async with running(EventFeed(redis_url, outbox, instruments, outbox.latest)) as feed:
        await eventually(lambda: feed.is_connected)
        yield feed


async def subscribed(redis_url: str, account_id: int, count: int = 1) -> None:
    """Wait until the account's channel has that many subscribers."""
    client = redis.asyncio.Redis.from_url(redis_url)
    channel = events_channel(account_id)
    async with asyncio.timeout(30):
        while (await client.pubsub_shardnumsub(channel))[0][1] != count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await client.aclose()


def catchups(instruments: Instruments) -> dict[str, float]:
    family = instruments.metrics.counter(catalogue.EVENT_CATCHUPS)
    counts = {cause: family.child(cause).value for cause in ("start", "gap", "reconnected", "poll")}
    return {cause: count for cause, count in counts.items() if count}


def has(listener: Listener, *sequences: int) -> Callable[[], bool]:
    return lambda: not sequences or listener.sequences[-len(sequences) :] == list(sequences)


async def test_events_arrive_as_they_were_stored(
    feed: EventFeed, cache: Cache, outbox: Outbox, redis_url: str, instruments: Instruments
) -> None:
    truth, listener = outbox.account(ACCOUNT), Listener()
    await feed.subscribe(ACCOUNT, 0, listener)
    await subscribed(redis_url, ACCOUNT)
    payloads = [truth.place(1), truth.open(1, "10.00"), truth.fund("5.00")]
    await cache.apply_events(payloads)
    await eventually(has(listener, 1, 2, 3))
    assert listener.payloads == payloads
    assert instruments.metrics.counter(catalogue.EVENTS_DELIVERED).child().value == 3


async def test_nothing_is_lost_between_snapshot_and_subscription(
    feed: EventFeed, cache: Cache, outbox: Outbox
) -> None:
    truth, listener = outbox.account(ACCOUNT), Listener()
    await cache.apply_events([truth.place(1)])
    after = truth.sequence
    await cache.apply_events([truth.place(2), truth.place(3)])
    await feed.subscribe(ACCOUNT, after, listener)
    await cache.apply_events([truth.place(4)])
    await eventually(has(listener, 2, 3, 4))
    assert listener.sequences == [2, 3, 4]


async def test_the_outbox_is_not_read_when_nothing_happened_since_the_snapshot(
    feed: EventFeed, cache: Cache, outbox: Outbox, redis_url: str
) -> None:
    truth, listener = outbox.account(ACCOUNT), Listener()
    truth.place(1)
    await feed.subscribe(ACCOUNT, 1, listener)
    await subscribed(redis_url, ACCOUNT)
    await cache.apply_events([truth.place(2)])
    await eventually(has(listener, 2))
    assert outbox.reads == 0


@pytest.mark.usefixtures("polls")
@pytest.mark.parametrize("is_known", [True, False])
async def test_who_was_told_more_than_a_restored_database_has_sees_the_jump(
    redis_url: str, outbox: Outbox, instruments: Instruments, cache: Cache, is_known: bool
) -> None:
    truth, listener = outbox.account(ACCOUNT), Listener()
    await cache.apply_events([truth.place(1)])
    backup = copy.deepcopy(truth)
    latest = outbox.latest if is_known else lambda _: None
    async with running(EventFeed(redis_url, outbox, instruments, latest)) as feed:
        await feed.subscribe(ACCOUNT, 0, listener)
        await cache.apply_events([truth.place(2), truth.place(3)])
        await eventually(has(listener, 1, 2, 3))
        outbox.truths[ACCOUNT] = backup
        await eventually(has(listener, 1, 2, 3, 1))
        await cache.apply_events([backup.place(4)])
        await eventually(has(listener, 1, 2, 3, 1, 2))
    assert listener.sequences == [1, 2, 3, 1, 2]


@pytest.mark.usefixtures("polls")
async def test_an_account_nobody_knows_here_is_read_from_the_outbox(
    redis_url: str, outbox: Outbox, instruments: Instruments
) -> None:
    truth, listener = outbox.account(ACCOUNT), Listener()
    truth.place(1)
    async with running(EventFeed(redis_url, outbox, instruments, lambda _: None)) as feed:
        await feed.subscribe(ACCOUNT, 0, listener)
        await eventually(has(listener, 1))
        truth.place(2)
        await eventually(has(listener, 1, 2))


async def test_subscribers_of_an_account_start_where_each_says(
    feed: EventFeed, cache: Cache, outbox: Outbox
) -> None:
    truth = outbox.account(ACCOUNT)
    first, second, third = Listener(), Listener(), Listener()
    await cache.apply_events([truth.place(1), truth.place(2), truth.place(3)])
    await feed.subscribe(ACCOUNT, 3, first)
    await cache.apply_events([truth.place(4)])
    await eventually(has(first, 4))
    await feed.subscribe(ACCOUNT, 1, second)
    await feed.subscribe(ACCOUNT, 4, third)
    await eventually(has(second, 2, 3, 4))
    await cache.apply_events([truth.place(5)])
    await eventually(has(second, 2, 3, 4, 5))
    await eventually(has(third, 5))
    assert first.sequences == [4, 5]
    assert second.sequences == [2, 3, 4, 5]
    assert third.sequences == [5]


async def test_a_gap_is_closed_from_the_outbox(
    feed: EventFeed, cache: Cache, outbox: Outbox, redis_url: str, instruments: Instruments
) -> None:
    truth, listener = outbox.account(ACCOUNT), Listener()
    await feed.subscribe(ACCOUNT, 0, listener)
    await subscribed(redis_url, ACCOUNT)
    truth.place(1)
    truth.place(2)
    await cache.apply_events([truth.place(3)])
    await eventually(has(listener, 1, 2, 3))
    assert listener.sequences == [1, 2, 3]
    assert catchups(instruments) == {"gap": 1}


async def test_repeated_and_late_events_are_delivered_once(
    feed: EventFeed, cache: Cache, outbox: Outbox, redis_url: str
) -> None:
    truth, listener = outbox.account(ACCOUNT), Listener()
    await feed.subscribe(ACCOUNT, 0, listener)
    await subscribed(redis_url, ACCOUNT)
    first, second, third = truth.place(1), truth.place(2), truth.place(3)
    for payload in (second, first, first, third, second, third):
        await cache.apply_events([payload])
    await eventually(has(listener, 3))
    await cache.apply_events([truth.place(4)])
    await eventually(has(listener, 1, 2, 3, 4))


@pytest.mark.usefixtures("polls")
async def test_a_last_event_that_never_reached_redis_is_found(
    feed: EventFeed, outbox: Outbox, redis_url: str, instruments: Instruments
) -> None:
    truth, listener = outbox.account(ACCOUNT), Listener()
    await feed.subscribe(ACCOUNT, 0, listener)
    await subscribed(redis_url, ACCOUNT)
    truth.place(1)
    await eventually(has(listener, 1))
    assert catchups(instruments) == {"poll": 1}


async def test_a_poll_gives_way_to_others_and_passes_over_who_leaves_meanwhile(
    redis_url: str, outbox: Outbox, instruments: Instruments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "POLL_S", 0.01)
    monkeypatch.setattr(events, "POLLED_AT_ONCE", 1)
    unsubscribe: dict[int, Callable[[], None]] = {}
    polled: list[int] = []
    someone_leaves = False

    def latest(account_id: int) -> int:
        polled.append(account_id)
        if someone_leaves and account_id == ACCOUNT:
            asyncio.get_running_loop().call_soon(unsubscribe[ACCOUNT + 1])
        return outbox.latest(account_id)

    async with running(EventFeed(redis_url, outbox, instruments, latest)) as feed:
        for account_id in range(ACCOUNT, ACCOUNT + 3):
            unsubscribe[account_id] = await feed.subscribe(account_id, 0, Listener())
        await eventually(lambda: all(polled.count(each) > 3 for each in unsubscribe))
        polled.clear()
        someone_leaves = True
        await eventually(lambda: polled.count(ACCOUNT) > 2)
    first = polled.index(ACCOUNT)
    assert polled[first : first + 3] == [ACCOUNT, ACCOUNT + 2, ACCOUNT]


async def test_more_events_than_one_read_takes_are_caught_up(
    feed: EventFeed, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "CATCHUP_LIMIT", 10)
    truth, listener = outbox.account(ACCOUNT), Listener()
    for order_id in range(1, 36):
        truth.place(order_id)
    await feed.subscribe(ACCOUNT, 2, listener)
    await eventually(has(listener, 35))
    assert listener.sequences == list(range(3, 36))


async def test_what_the_outbox_no_longer_holds_is_skipped(
    feed: EventFeed, outbox: Outbox, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, listener = outbox.account(ACCOUNT), Listener()
    for order_id in range(1, 6):
        truth.place(order_id)

    async def pruned(sequences: Mapping[int, int], limit: int) -> list[bytes]:
        return truth.events_after(max(sequences[ACCOUNT], 3), limit)

    monkeypatch.setattr(outbox, "events_after", pruned)
    await feed.subscribe(ACCOUNT, 0, listener)
    await eventually(has(listener, 4, 5))
    await cache.apply_events([truth.place(6)])
    await eventually(has(listener, 4, 5, 6))


@pytest.mark.usefixtures("polls")
async def test_redis_away_events_come_from_the_outbox_and_go_on_after(
    tmp_path: Path, outbox: Outbox, instruments: Instruments
) -> None:
    truth, listener = outbox.account(ACCOUNT), Listener()
    async with EmbeddedValkey(tmp_path / "valkey") as server:
        cache = Cache(server.url, instruments)
        feed = EventFeed(server.url, outbox, instruments, outbox.latest)
        async with running(feed):
            await eventually(lambda: feed.is_connected)
            await feed.subscribe(ACCOUNT, 0, listener)
            await subscribed(server.url, ACCOUNT)
            await server.stop()
            await eventually(lambda: not feed.is_connected)
            await cache.apply_events([truth.place(1)])
            await eventually(has(listener, 1))
            await server.start()
            await eventually(lambda: feed.is_connected)
            await subscribed(server.url, ACCOUNT)
            await readable(cache)
            await cache.apply_events([truth.place(2)])
            await eventually(has(listener, 1, 2))
        await cache.close()


@pytest.mark.usefixtures("polls")
@pytest.mark.parametrize("fault", ["cut", "black hole"])
async def test_a_lost_connection_is_made_anew_and_nothing_is_lost(
    redis_url: str,
    outbox: Outbox,
    cache: Cache,
    instruments: Instruments,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversation, "PING_S", 0.1)
    monkeypatch.setattr(conversation, "SILENCE_S", 0.5)
    truth, listener = outbox.account(ACCOUNT), Listener()
    async with in_front_of(redis_url) as proxy:
        feed = EventFeed(through(proxy, redis_url), outbox, instruments, outbox.latest)
        async with running(feed):
            await feed.subscribe(ACCOUNT, 0, listener)
            await subscribed(redis_url, ACCOUNT)
            await cache.apply_events([truth.place(1)])
            await eventually(has(listener, 1))
            if fault == "cut":
                await proxy.cut()
            else:
                proxy.pause()
            await eventually(lambda: not feed.is_connected)
            await cache.apply_events([truth.place(2)])
            await eventually(has(listener, 1, 2))
            await proxy.restore()
            proxy.resume()
            await eventually(lambda: feed.is_connected)
            await cache.apply_events([truth.place(3)])
            await eventually(has(listener, 1, 2, 3))
            assert listener.sequences == [1, 2, 3]


async def test_an_account_left_while_redis_was_away_can_be_come_back_to(
    redis_url: str, outbox: Outbox, cache: Cache, instruments: Instruments
) -> None:
    truth, listener = outbox.account(ACCOUNT), Listener()
    async with in_front_of(redis_url) as proxy:
        feed = EventFeed(through(proxy, redis_url), outbox, instruments, outbox.latest)
        async with running(feed):
            unsubscribe = await feed.subscribe(ACCOUNT, 0, Listener())
            await subscribed(redis_url, ACCOUNT)
            await proxy.cut()
            await eventually(lambda: not feed.is_connected)
            unsubscribe()
            await proxy.restore()
            await eventually(lambda: feed.is_connected)
            await asyncio.sleep(0.05)
            await feed.subscribe(ACCOUNT, 0, listener)
            await subscribed(redis_url, ACCOUNT)
            await cache.apply_events([truth.place(1)])
            await eventually(has(listener, 1))


@pytest.mark.usefixtures("polls")
async def test_a_database_that_is_away_is_asked_again(feed: EventFeed, outbox: Outbox) -> None:
    truth, listener = outbox.account(ACCOUNT), Listener()
    truth.place(1)
    outbox.is_away = True
    await feed.subscribe(ACCOUNT, 0, listener)
    await eventually(lambda: outbox.reads > 2)
    outbox.is_away = False
    await eventually(has(listener, 1))


async def test_a_subscriber_that_fails_is_dropped_and_the_others_go_on(
    feed: EventFeed, cache: Cache, outbox: Outbox, redis_url: str
) -> None:
    calls = []

    def broken(payload: bytes) -> None:
        calls.append(payload)
        raise RuntimeError("no")

    truth, listener = outbox.account(ACCOUNT), Listener()
    await feed.subscribe(ACCOUNT, 0, broken)
    await feed.subscribe(ACCOUNT, 0, listener)
    await subscribed(redis_url, ACCOUNT)
    await cache.apply_events([truth.place(1), truth.place(2)])
    await eventually(has(listener, 1, 2))
    assert len(calls) == 1


async def test_after_the_end_of_a_subscription_nothing_is_told(
    feed: EventFeed, cache: Cache, outbox: Outbox, redis_url: str
) -> None:
    truth, gone, stays = outbox.account(ACCOUNT), Listener(), Listener()
    unsubscribe = await feed.subscribe(ACCOUNT, 0, gone)
    await feed.subscribe(ACCOUNT, 0, stays)
    await subscribed(redis_url, ACCOUNT)
    unsubscribe()
    unsubscribe()
    await cache.apply_events([truth.place(1)])
    await eventually(has(stays, 1))
    assert gone.payloads == []


async def test_leaving_and_coming_back_loses_nothing(
    feed: EventFeed, cache: Cache, outbox: Outbox
) -> None:
    truth, listener = outbox.account(ACCOUNT), Listener()
    for order_id in range(1, 41):
        unsubscribe = await feed.subscribe(ACCOUNT, truth.sequence, listener)
        if order_id % 3:
            await asyncio.sleep(0)
        await cache.apply_events([truth.place(order_id)])
        await eventually(has(listener, order_id))
        unsubscribe()
    assert listener.sequences == list(range(1, 41))


async def test_coming_back_later_subscribes_anew(
    feed: EventFeed, cache: Cache, outbox: Outbox, redis_url: str
) -> None:
    truth, listener = outbox.account(ACCOUNT), Listener()
    unsubscribe = await feed.subscribe(ACCOUNT, 0, Listener())
    await subscribed(redis_url, ACCOUNT)
    unsubscribe()
    await subscribed(redis_url, ACCOUNT, 0)
    await feed.subscribe(ACCOUNT, 0, listener)
    await subscribed(redis_url, ACCOUNT)
    await cache.apply_events([truth.place(1)])
    await eventually(has(listener, 1))


async def test_a_feed_that_is_started_again_hears_all_that_is_listened_to(
    outbox: Outbox, cache: Cache, redis_url: str, instruments: Instruments
) -> None:
    truth, listener = outbox.account(ACCOUNT), Listener()
    feed = EventFeed(redis_url, outbox, instruments, outbox.latest)
    async with running(feed):
        await feed.subscribe(ACCOUNT, 0, listener)
        await subscribed(redis_url, ACCOUNT)
    await subscribed(redis_url, ACCOUNT, 0)
    async with running(feed):
        await subscribed(redis_url, ACCOUNT)
        await cache.apply_events([truth.place(1)])
        await eventually(has(listener, 1))


async def test_who_comes_during_a_read_from_further_back_misses_nothing(
    feed: EventFeed, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, first, second = outbox.account(ACCOUNT), Listener(), Listener()
    for order_id in range(1, 7):
        truth.place(order_id)
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def slow(sequences: Mapping[int, int], limit: int) -> list[bytes]:
        reading.set()
        await go_on.wait()
        return truth.events_after(sequences[ACCOUNT], limit)

    monkeypatch.setattr(outbox, "events_after", slow)
    await feed.subscribe(ACCOUNT, 4, first)
    await reading.wait()
    await feed.subscribe(ACCOUNT, 1, second)
    go_on.set()
    await eventually(has(first, 5, 6))
    await eventually(has(second, 6))
    assert second.sequences == [2, 3, 4, 5, 6]


async def test_a_thousand_subscribers_share_one_connection(
    feed: EventFeed, cache: Cache, outbox: Outbox, redis_url: str
) -> None:
    listeners = {account_id: Listener() for account_id in range(1, 1001)}
    for account_id, listener in listeners.items():
        await feed.subscribe(account_id, 0, listener)
    await subscribed(redis_url, 1000)
    await cache.apply_events([outbox.account(each).place(each) for each in listeners])
    await eventually(lambda: all(each.sequences == [1] for each in listeners.values()))
    client = redis.asyncio.Redis.from_url(redis_url)
    assert len(await client.client_list(_type="pubsub")) == 1
    await client.aclose()


@pytest.mark.usefixtures("polls")
@pytest.mark.parametrize("seed", range(8))
async def test_under_random_loss_repetition_and_disorder_each_event_comes_once_in_order(
    feed: EventFeed, cache: Cache, outbox: Outbox, seed: int
) -> None:
    dice = random.Random(seed)
    listeners: list[tuple[int, int, Listener]] = []
    for step in range(300):
        account_id = dice.randrange(1, 5)
        truth = outbox.account(account_id)
        if dice.random() < 0.05:
            listener = Listener()
            after = dice.randint(0, truth.sequence)
            listeners.append((account_id, after, listener))
            await feed.subscribe(account_id, after, listener)
        payloads = [truth.fund("1.00") for _ in range(dice.randint(1, 3))]
        payloads = [each for each in payloads if dice.random() > 0.2]
        if dice.random() < 0.2 and truth.sequence:
            payloads.append(truth.payloads[dice.randrange(truth.sequence)])
        dice.shuffle(payloads)
        await cache.apply_events(payloads)
        if step % 7 == 0:
            await asyncio.sleep(dice.random() / 100)
    for account_id, after, listener in listeners:
        expected = list(range(after + 1, outbox.account(account_id).sequence + 1))
        await eventually(has(listener, *expected[-1:]))
        assert listener.sequences == expected
