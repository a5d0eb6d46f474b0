"""Events on a cluster: each once, in order, whatever becomes of slots and masters meanwhile."""

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import NamedTuple

import pytest

from service.domain.decision import AccountState, Decision, EventKind
from service.domain.money import ZERO
from service.instruments import Instruments
from service.loops.publisher import Publisher
from service.storage import conversation, events
from service.storage.cache import Cache
from service.storage.cache_keys import events_channel
from service.storage.events import EventFeed
from service.storage.outbox import Event
from service.storage.queue import Written
from service.storage.redis_servers import SLOTS, slot_of
from tests.integration.test_events import Listener, Outbox, running
from tests.redis_cluster import RunningCluster, running_cluster
from tests.support import eventually

ACCOUNTS = range(1, 31)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RunningCluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the poll, which finds whatever is missing, the tests see what comes by itself."""
    monkeypatch.setattr(events, "POLL_S", 3600.0)
    monkeypatch.setattr(conversation, "RECONNECT_S", 0.1)


def at(account_id: int) -> int:
    """Return the number of the master that has an account at first, of three."""
    return min(slot_of(events_channel(account_id).encode()) // (SLOTS // 3), 2)


class Ledger(Outbox):
    """What was committed, as its publisher reads it too."""

    def __init__(self) -> None:
        super().__init__()
        self._events: list[Event] = []

    def commit(self, account_id: int) -> Written:
        truth = self.account(account_id)
        payload = truth.fund("1.00").decode()
        state = AccountState(account_id, truth.sequence, truth.balance, ZERO)
        number = len(self._events) + 1
        self._events.append(Event(number, payload))
        kind = EventKind.DEPOSITED
        decision = Decision(number, 0, 0, kind, state, None, None, None, (), None)
        return Written(decision, 0, payload)

    async def page_after(self, event_id: int, limit: int) -> list[Event]:
        return self._events[event_id : event_id + limit]

    async def published_until(self) -> int:
        return 0

    async def mark_published(self, event_id: int) -> None:
        pass


class Traders:
    """Listeners to some accounts, and what happens to these."""

    def __init__(self, feed: EventFeed, cache: Cache, outbox: Outbox) -> None:
        self.feed = feed
        self.listeners: dict[int, Listener] = {}
        self._cache = cache
        self._outbox = outbox

    async def come(self, account_ids: range) -> None:
        for account_id in account_ids:
            listener = self.listeners[account_id] = Listener()
            await self.feed.subscribe(account_id, 0, listener)
        await eventually(self.are_live)

    def are_live(self) -> bool:
        return all(each.is_live for each in self.feed._accounts.values())

    async def trade(self, *account_ids: int) -> None:
        """Let something happen to accounts, published as often as that fails."""
        payloads = [self._outbox.account(each).fund("1.00") for each in account_ids]
        async with asyncio.timeout(30):
            while await self._cache.apply_events(payloads):  # noqa: ASYNC110 - others' state
                await asyncio.sleep(0.05)

    def have_heard_all(self) -> bool:
        return all(
            each.sequences == list(range(1, self._outbox.latest(account_id) + 1))
            for account_id, each in self.listeners.items()
        )


class Published(NamedTuple):
    """Events as they are committed and published, and who hears them."""

    ledger: Ledger
    publisher: Publisher
    traders: Traders

    async def commit(self, times: int) -> None:
        for _ in range(times):
            self.publisher.publish([self.ledger.commit(each) for each in ACCOUNTS])
            await asyncio.sleep(0.01)

    def have_all(self, account_ids: Sequence[int]) -> bool:
        return all(
            len(self.traders.listeners[each].payloads) == self.ledger.latest(each)
            for each in account_ids
        )


@contextlib.asynccontextmanager
async def trading(
    url: str, instruments: Instruments, *, is_engine: bool = True
) -> AsyncIterator[Traders]:
    outbox, cache = Outbox(), Cache(url, instruments)
    feed = EventFeed(url, outbox, instruments, outbox.latest if is_engine else lambda _: None)
    try:
        async with running(feed):
            yield Traders(feed, cache, outbox)
    finally:
        await cache.close()


async def test_a_thousand_accounts_take_one_conversation_with_each_node(
    cluster: RunningCluster, instruments: Instruments
) -> None:
    async with trading(cluster.url, instruments) as traders:
        await traders.come(range(1, 1_001))
        await traders.trade(*traders.listeners)
        await eventually(traders.have_heard_all)
        for master in cluster.masters:
            assert len((await master.ask("CLIENT", "LIST", "TYPE", "pubsub")).splitlines()) == 1


@pytest.mark.parametrize("is_engine", [True, False])
async def test_slots_move_while_events_flow(
    cluster: RunningCluster, instruments: Instruments, is_engine: bool
) -> None:
    dice = random.Random(7)
    async with trading(cluster.url, instruments, is_engine=is_engine) as traders:
        await traders.come(ACCOUNTS)
        homes = {each: at(each) for each in ACCOUNTS}
        for step in range(120):
            await traders.trade(*dice.sample(ACCOUNTS, 5))
            if step % 10 == 0:
                mover = dice.choice(ACCOUNTS)
                homes[mover] = (homes[mover] + 1) % 3
                await cluster.move(slot_of(events_channel(mover).encode()), homes[mover])
        await eventually(traders.have_heard_all)
        for account_id, home in homes.items():
            if home != at(account_id):
                await cluster.move(slot_of(events_channel(account_id).encode()), at(account_id))


@contextlib.asynccontextmanager
async def publishing(url: str, instruments: Instruments) -> AsyncIterator[Published]:
    """Have listeners to all accounts who are up to date, and a publisher."""
    ledger, cache = Ledger(), Cache(url, instruments)
    feed = EventFeed(url, ledger, instruments, ledger.latest)
    publisher = Publisher(cache, ledger, instruments)
    task = asyncio.create_task(publisher.run())
    try:
        async with running(feed):
            published = Published(ledger, publisher, Traders(feed, cache, ledger))
            await published.traders.come(ACCOUNTS)
            await published.commit(3)
            await eventually(published.traders.have_heard_all)
            yield published
    finally:
        task.cancel()
        await asyncio.wait((task,))
        await cache.close()


async def test_a_node_that_is_away_keeps_no_event_of_others_back(instruments: Instruments) -> None:
    with running_cluster() as cluster:
        async with publishing(cluster.url, instruments) as published:
            cluster.masters[1].send(signal.SIGSTOP)
            await published.commit(30)
            others = [each for each in ACCOUNTS if at(each) != 1]
            await eventually(lambda: published.have_all(others))
            assert not published.traders.have_heard_all()
            assert not published.publisher.is_idle
            cluster.masters[1].send(signal.SIGCONT)
            await eventually(published.traders.have_heard_all)


async def test_a_slot_on_its_way_keeps_no_event_of_others_back(
    cluster: RunningCluster, instruments: Instruments
) -> None:
    mover = ACCOUNTS[0]
    slot = slot_of(events_channel(mover).encode())
    former, next_ = cluster.masters[at(mover)], cluster.masters[(at(mover) + 1) % 3]
    async with publishing(cluster.url, instruments) as published:
        await next_.ask(
            "CLUSTER", "SETSLOT", slot, "IMPORTING", await former.ask("CLUSTER", "MYID")
        )
        await former.ask(
            "CLUSTER", "SETSLOT", slot, "MIGRATING", await next_.ask("CLUSTER", "MYID")
        )
        await published.commit(30)
        others = [each for each in ACCOUNTS if each != mover]
        await eventually(lambda: published.have_all(others))
        assert not published.traders.have_heard_all()
        await cluster.move(slot, cluster.masters.index(next_))
        await eventually(published.traders.have_heard_all)
        await eventually(lambda: published.publisher.is_idle)
    await cluster.move(slot, at(mover))


async def test_a_master_dies_while_events_flow(instruments: Instruments) -> None:
    with running_cluster(replicas=True) as cluster:
        async with trading(cluster.url, instruments) as traders:
            await traders.come(ACCOUNTS)
            for step in range(60):
                if step == 20:
                    cluster.masters[0].kill()
                await traders.trade(*random.sample(ACCOUNTS, 5))
            await eventually(traders.have_heard_all)
            assert traders.feed.is_connected


async def test_a_master_stands_still_and_is_followed(
    instruments: Instruments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "SILENCE_S", 3600.0)
    with running_cluster(replicas=True) as cluster:
        async with trading(cluster.url, instruments, is_engine=False) as traders:
            await traders.come(ACCOUNTS)
            cluster.masters[2].send(signal.SIGSTOP)
            for _ in range(10):
                await traders.trade(*ACCOUNTS)
            await eventually(traders.have_heard_all)
            cluster.masters[2].send(signal.SIGCONT)
            for _ in range(10):
                await traders.trade(*ACCOUNTS)
            await eventually(traders.have_heard_all)
