"""The event feed: what happens to accounts, to whoever has a socket open for one.

Each subscriber gets the events after the sequence it names (its snapshot's), in order, each once.
They arrive by sharded pub/sub, over one connection to each server of Redis (`conversations`); what
that misses is read from the outbox, where every published event is committed: at the start of a
subscription, on a gap, after a reconnect, and by a poll every `POLL_S` of whom nothing is heard
while a server is away, otherwise of who stays behind. The outbox is not read where `latest` knows
that nothing newer was decided; of accounts that it does not know, a poll takes every tenth.

Where the database was restored from a backup, an account may have gone back: a subscriber who was
told more is told its newest event, so that he sees the jump in `sequence`, once a poll finds it.

The same connections hear of changed settings, for `settings_listeners`.

Memory is bounded: a subscriber is two fields, a gap is remembered by its number alone, and a read
of the outbox takes `CATCHUP_LIMIT` events of at most `CATCHUP_ACCOUNTS`. Limit: what the outbox no
longer holds is skipped, and logged; the subscriber sees the jump in `sequence`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Protocol

from loguru import logger

from service.instruments import Instruments
from service.storage.cache_keys import SETTINGS_CHANNEL, events_channel
from service.storage.conversations import Conversations
from service.storage.envelope import EventHead, head_from, unwrap
from service.storage.errors import Unreachable
from service.storage.group_cache import GroupCache
from service.storage.journeys import push_span
from telemetry.pulse import Pulse

POLL_S = 1.0
POLL_SHARES = 10
POLLED_AT_ONCE = 256
CATCHUP_LIMIT = 500
CATCHUP_ACCOUNTS = 200
CATCHUP_WORKERS = 4

Callback = Callable[[bytes], None]


class EventsReader(Protocol):
    """The one read of the database: events of accounts after the sequence that is named for each.

    They come account by account in the order of these, oldest first, each as it is published
    (`envelope`); of an account that has gone back, the newest.
    """

    async def events_after(self, sequences: Mapping[int, int], limit: int) -> list[bytes]: ...


class _Subscriber:
    __slots__ = ("callback", "last")

    def __init__(self, after: int, callback: Callback) -> None:
        self.last = after
        self.callback = callback


class _Account:
    """An account that is subscribed to, as the listener to its channel."""

    __slots__ = ("account_id", "feed", "heard", "is_known", "is_live", "subscribers")

    def __init__(self, account_id: int, feed: "EventFeed") -> None:
        self.account_id = account_id
        self.feed = feed
        self.heard = feed.take
        self.is_live = False
        self.is_known = False
        self.subscribers: list[_Subscriber] = []

    @property
    def low(self) -> int:
        """The sequence of the subscriber that is furthest behind."""
        return min(each.last for each in self.subscribers)

    def subscribed(self) -> None:
        cause = "reconnected" if self.is_known else "start"
        self.is_live = self.is_known = True
        self.feed.check(self, cause)

    def lost(self) -> None:
        self.is_live = False


class _Settings:
    """The listener to changed settings."""

    def __init__(self, feed: "EventFeed") -> None:
        self._feed = feed

    def subscribed(self) -> None:
        for listener in self._feed.settings_listeners:
            listener.listen(True)

    def lost(self) -> None:
        for listener in self._feed.settings_listeners:
            listener.listen(False)

    def heard(self, content: bytes) -> None:
        for listener in self._feed.settings_listeners:
            listener.forget_symbols(content.decode())


class EventFeed:
    """Delivers account events to subscribers; `run` does the work."""

    def __init__(
        self,
        url: str,
        reader: EventsReader,
        instruments: Instruments,
        latest: Callable[[int], int | None],
    ) -> None:
        """Take Redis's URL; `latest` tells the newest sequence decided of an account, if known."""
        self._reader = reader
        self._instruments = instruments
        self._latest = latest
        self._accounts: dict[int, _Account] = {}
        self._behind: dict[int, str] = {}
        self._queue: asyncio.Queue[int] = asyncio.Queue()
        self._conversations = Conversations(url, instruments)
        self._conversations.listen(SETTINGS_CHANNEL, _Settings(self))
        self.settings_listeners: list[GroupCache] = []
        self.pulse = Pulse()
        instruments.watch_events(lambda: self.is_connected)

    @property
    def is_connected(self) -> bool:
        """Whether events of all accounts arrive by subscription."""
        return self._conversations.is_whole

    async def subscribe(
        self, account_id: int, after: int, callback: Callback
    ) -> Callable[[], None]:
        """Hand every event of an account above sequence `after` to `callback`, in order, once.

        Returns:
            The function that ends the subscription. A callback that raises is dropped.
        """
        subscriber = _Subscriber(after, callback)
        account = self._accounts.get(account_id)
        if account is None:
            account = self._accounts[account_id] = _Account(account_id, self)
            self._conversations.listen(events_channel(account_id), account)
        account.subscribers.append(subscriber)
        if account.is_live:
            self.check(account, "start")
        return lambda: self._remove(account, subscriber)

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._conversations.run(self.pulse))
            tasks.create_task(self._poll(self.pulse.part()))
            for _ in range(CATCHUP_WORKERS):
                tasks.create_task(self._catch_up_queued(self.pulse.part()))

    def _remove(self, account: _Account, subscriber: _Subscriber) -> None:
        if subscriber in account.subscribers:
            account.subscribers.remove(subscriber)
            if not account.subscribers:
                del self._accounts[account.account_id]
                self._conversations.leave(events_channel(account.account_id))

    def take(self, message: bytes) -> None:
        """Take an event that was published."""
        payload, publishing = unwrap(message)
        with push_span(self._instruments.tracing, publishing):
            self._hand_over(head_from(payload), payload)

    def _hand_over(self, head: EventHead, payload: bytes) -> None:
        account = self._accounts.get(head.account_id)
        if account is None:
            return
        for subscriber in list(account.subscribers):
            if head.sequence == subscriber.last + 1:
                self._deliver(head, payload, account, subscriber)
            elif head.sequence > subscriber.last:
                self._enqueue(head.account_id, "gap")

    def _deliver(
        self, head: EventHead, payload: bytes, account: _Account, subscriber: _Subscriber
    ) -> None:
        subscriber.last = head.sequence
        try:
            subscriber.callback(payload)
        except Exception as error:
            logger.opt(exception=error).error("a subscriber of account events failed")
            self._remove(account, subscriber)
        else:
            self._instruments.event_delivered()

    # The outbox

    def check(self, account: _Account, cause: str) -> None:
        """Read the outbox for an account, unless nothing newer can be there."""
        latest = self._latest(account.account_id)
        if latest is None or account.low != latest:
            self._enqueue(account.account_id, cause)

    def _enqueue(self, account_id: int, cause: str) -> None:
        if account_id not in self._behind:
            self._behind[account_id] = cause
            self._queue.put_nowait(account_id)

    async def _poll(self, pulse: Pulse) -> None:
        """Find who is behind: at once who is not heard of, else who stays so for a `POLL_S`.

        For what never reached Redis leaves no gap until the next event does.
        """
        lagging: dict[int, int] = {}
        share = 0
        while True:
            await asyncio.sleep(POLL_S)
            pulse.beat()
            share = (share + 1) % POLL_SHARES
            before, lagging = lagging, {}
            for polled, (account_id, account) in enumerate(list(self._accounts.items()), start=1):
                if polled % POLLED_AT_ONCE == 0:  # thousands must not hold up who trades
                    await asyncio.sleep(0)
                if not account.subscribers:
                    continue  # they have left meanwhile
                latest, low = self._latest(account_id), account.low
                if latest is None:
                    is_due = not account.is_live or account_id % POLL_SHARES == share
                elif low != latest:
                    lagging[account_id] = low
                    is_due = not account.is_live or before.get(account_id) == low
                else:
                    continue
                if is_due:
                    self._enqueue(account_id, "poll")

    async def _catch_up_queued(self, pulse: Pulse) -> None:
        while True:
            found = [await pulse.rest(self._queue.get())]
            while len(found) < CATCHUP_ACCOUNTS and not self._queue.empty():
                found.append(self._queue.get_nowait())
            for account_id in found:
                self._instruments.event_catchup(self._behind.pop(account_id))
            # With the database away they stay behind, and are found by the next polls.
            with contextlib.suppress(Unreachable):
                while found:
                    found = await self._catch_up(found)
                    pulse.beat()

    async def _catch_up(self, account_ids: list[int]) -> list[int]:
        """Read a page for the subscribers that are furthest behind; return who is still to read."""
        accounts = {each: self._accounts[each] for each in account_ids if each in self._accounts}
        lows = {account_id: account.low for account_id, account in accounts.items()}
        if not lows:
            return []
        messages = await self._reader.events_after(lows, CATCHUP_LIMIT)
        expected = {account_id: low + 1 for account_id, low in lows.items()}
        for message in messages:
            payload, traced = unwrap(message)
            head = head_from(payload)
            account = accounts[head.account_id]
            if head.sequence <= lows[head.account_id]:
                self._go_back(account, lows[head.account_id], head, payload)
                continue
            if head.sequence != expected[head.account_id]:
                logger.error(
                    "events {} to {} of an account are no longer in the outbox",
                    expected[head.account_id],
                    head.sequence - 1,
                )
            expected[head.account_id] = head.sequence + 1
            # One that subscribed meanwhile, from further back, gets a page of its own.
            with push_span(self._instruments.tracing, traced):
                for subscriber in list(account.subscribers):
                    if lows[head.account_id] <= subscriber.last < head.sequence:
                        self._deliver(head, payload, account, subscriber)
        if len(messages) < CATCHUP_LIMIT:
            return []
        # Of the last one there may be more, and those after it were not read.
        read = list(lows)
        return read[read.index(head.account_id) :]

    def _go_back(self, account: _Account, told: int, head: EventHead, payload: bytes) -> None:
        logger.error(
            "an account has gone back from event {} to {}: was the database restored?",
            told,
            head.sequence,
        )
        for subscriber in list(account.subscribers):
            if subscriber.last > head.sequence:
                self._deliver(head, payload, account, subscriber)
