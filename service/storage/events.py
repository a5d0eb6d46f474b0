"""The event feed: what happens to accounts, to whoever has a socket open for one.

Each subscriber gets the events after the sequence it names (its snapshot's), in order, each once.
They arrive by pub/sub, on one Redis connection a process; what that misses is read from the outbox,
where every published event is committed: at the start of a subscription, on a gap, after a
reconnect, and by a poll every `POLL_S` of all while Redis is away, otherwise of who stays behind.
The outbox is not read where `latest` knows that nothing newer was decided.

The same connection hears of changed settings, for `settings_listeners`.

Memory is bounded: a subscriber is two fields, a gap is remembered by its number alone, and a read
of the outbox takes `CATCHUP_LIMIT` events. Limit: what the outbox no longer holds is skipped, and
logged; the subscriber sees the jump in `sequence`.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Protocol

from loguru import logger
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from service.instruments import Instruments
from service.storage.cache_keys import SETTINGS_CHANNEL, events_channel
from service.storage.envelope import EventHead, head_from, unwrap
from service.storage.errors import Unreachable, failure_of
from service.storage.group_cache import GroupCache
from service.storage.journeys import push_span
from service.storage.redis_node import uncancelled
from service.storage.redis_servers import make_connection
from telemetry.pulse import Pulse

PING_S = 2.0
SILENCE_S = 6.0
RECONNECT_S = 0.5
POLL_S = 1.0
CATCHUP_LIMIT = 500
CATCHUP_WORKERS = 4
CHANNELS_IN_COMMAND = 500

Callback = Callable[[bytes], None]


class EventsReader(Protocol):
    """The one read of the database: an account's events after a sequence, oldest first.

    Each as it is published (`envelope`).
    """

    async def events_after(self, account_id: int, sequence: int, limit: int) -> list[bytes]: ...


_SETTINGS = SETTINGS_CHANNEL.encode()


class _Subscriber:
    __slots__ = ("callback", "last")

    def __init__(self, after: int, callback: Callback) -> None:
        self.last = after
        self.callback = callback


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
        self._url = url
        self._reader = reader
        self._instruments = instruments
        self._latest = latest
        self._accounts: dict[int, list[_Subscriber]] = {}
        self._live: set[int] = set()
        self._changed = asyncio.Event()
        self._behind: dict[int, str] = {}
        self._queue: asyncio.Queue[int] = asyncio.Queue()
        self.is_connected = False
        self.settings_listeners: list[GroupCache] = []
        self.pulse = Pulse()
        instruments.watch_events(lambda: self.is_connected)

    async def subscribe(
        self, account_id: int, after: int, callback: Callback
    ) -> Callable[[], None]:
        """Hand every event of an account above sequence `after` to `callback`, in order, once.

        Returns:
            The function that ends the subscription. A callback that raises is dropped.
        """
        subscriber = _Subscriber(after, callback)
        self._accounts.setdefault(account_id, []).append(subscriber)
        if account_id in self._live:
            self._check(account_id, "start")
        else:
            self._changed.set()
        return lambda: self._remove(account_id, subscriber)

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._stay_connected(self.pulse.part()))
            tasks.create_task(self._poll(self.pulse.part()))
            for _ in range(CATCHUP_WORKERS):
                tasks.create_task(self._catch_up_queued(self.pulse.part()))

    def _remove(self, account_id: int, subscriber: _Subscriber) -> None:
        subscribers = self._accounts.get(account_id, [])
        if subscriber in subscribers:
            subscribers.remove(subscriber)
            if not subscribers:
                del self._accounts[account_id]
                self._changed.set()

    # Redis

    async def _stay_connected(self, pulse: Pulse) -> None:
        cause = "start"
        while True:
            started = time.perf_counter()
            connection = make_connection(self._url)
            try:
                async with uncancelled():
                    await connection.connect()  # type: ignore[no-untyped-call]
                self._instruments.redis_call("subscribe", time.perf_counter() - started)
                await self._converse(connection, cause, pulse)
            except (RedisError, OSError, TimeoutError) as error:
                if not self.is_connected:
                    seconds, failure = time.perf_counter() - started, failure_of(error)
                    self._instruments.redis_call("subscribe", seconds, failure=failure)
                else:
                    logger.warning("events by subscription lost, polling instead: {!r}", error)
            finally:
                self.is_connected = False
                self._live.clear()
                self._listen(False)
                await connection.disconnect(nowait=True)
            cause = "reconnected"
            await asyncio.sleep(RECONNECT_S)
            pulse.beat()

    async def _converse(self, connection: AbstractConnection, cause: str, pulse: Pulse) -> None:
        self.is_connected = True
        self._changed.set()
        speaking = asyncio.create_task(self._speak(connection))
        try:
            while not speaking.done():
                message = await connection.read_response(timeout=SILENCE_S)
                pulse.beat()
                if message is None:  # redis-py's way to say that the time is up
                    raise TimeoutError(f"Redis was silent for {SILENCE_S:g} s")
                if len(message) != 3:  # a pong
                    continue
                kind, channel, content = message
                if channel == _SETTINGS:
                    self._heard_of_settings(kind, content)
                elif kind == b"message":
                    self._arrived(content)
                elif kind == b"subscribe":
                    self._subscribed(channel, cause)
            await speaking
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)

    async def _speak(self, connection: AbstractConnection) -> None:
        """Say what is wanted, and ping, so that a silent connection is known to be a dead one."""
        said: set[int] = set()
        async with uncancelled():
            await connection.send_command("SUBSCRIBE", SETTINGS_CHANNEL)
        while True:
            try:
                async with asyncio.timeout(PING_S):
                    await self._changed.wait()
            except TimeoutError:
                async with uncancelled():
                    await connection.send_command("PING")
                continue
            self._changed.clear()
            gone, new = said - self._accounts.keys(), self._accounts.keys() - said
            self._live -= gone
            said = set(self._accounts)
            for command, account_ids in (("UNSUBSCRIBE", list(gone)), ("SUBSCRIBE", list(new))):
                for start in range(0, len(account_ids), CHANNELS_IN_COMMAND):
                    part = account_ids[start : start + CHANNELS_IN_COMMAND]
                    async with uncancelled():
                        await connection.send_command(command, *map(events_channel, part))

    def _subscribed(self, channel: bytes, cause: str) -> None:
        account_id = int(channel[len(b"{acct:") : channel.index(b"}")])
        if account_id in self._accounts:
            self._live.add(account_id)
            self._check(account_id, cause)

    def _heard_of_settings(self, kind: bytes, content: object) -> None:
        if kind == b"subscribe":
            self._listen(True)
        elif isinstance(content, bytes):
            for listener in self.settings_listeners:
                listener.forget_symbols(content.decode())

    def _listen(self, is_listening: bool) -> None:
        for listener in self.settings_listeners:
            listener.listen(is_listening)

    def _arrived(self, message: bytes) -> None:
        payload, publishing = unwrap(message)
        with push_span(self._instruments.tracing, publishing):
            self._hand_over(head_from(payload), payload)

    def _hand_over(self, head: EventHead, payload: bytes) -> None:
        for subscriber in list(self._accounts.get(head.account_id, ())):
            if head.sequence == subscriber.last + 1:
                self._deliver(head, subscriber, payload)
            elif head.sequence > subscriber.last:
                self._enqueue(head.account_id, "gap")

    def _deliver(self, head: EventHead, subscriber: _Subscriber, payload: bytes) -> None:
        subscriber.last = head.sequence
        try:
            subscriber.callback(payload)
        except Exception as error:
            logger.opt(exception=error).error("a subscriber of account events failed")
            self._remove(head.account_id, subscriber)
        else:
            self._instruments.event_delivered()

    # The outbox

    def _check(self, account_id: int, cause: str) -> None:
        """Read the outbox for an account, unless nothing newer can be there."""
        latest = self._latest(account_id)
        if latest is None or any(each.last < latest for each in self._accounts[account_id]):
            self._enqueue(account_id, cause)

    def _enqueue(self, account_id: int, cause: str) -> None:
        if account_id not in self._behind:
            self._behind[account_id] = cause
            self._queue.put_nowait(account_id)

    async def _poll(self, pulse: Pulse) -> None:
        """Find who is behind: at once while Redis is away, else who stays so for a `POLL_S`.

        For what never reached Redis leaves no gap until the next event does.
        """
        lagging: dict[int, int] = {}
        while True:
            await asyncio.sleep(POLL_S)
            pulse.beat()
            before, lagging = lagging, {}
            for account_id, subscribers in self._accounts.items():
                low = min(each.last for each in subscribers)
                latest = self._latest(account_id)
                if latest is None or low < latest:
                    lagging[account_id] = low
                    if not self.is_connected or before.get(account_id) == low:
                        self._enqueue(account_id, "poll")

    async def _catch_up_queued(self, pulse: Pulse) -> None:
        while True:
            account_id = await pulse.rest(self._queue.get())
            cause = self._behind.pop(account_id)
            # With the database away the account stays behind, and is found by the next polls.
            with contextlib.suppress(Unreachable):
                while await self._catch_up(account_id, cause):
                    pulse.beat()

    async def _catch_up(self, account_id: int, cause: str) -> bool:
        """Read one page for the subscriber that is furthest behind; tell if there may be more."""
        subscribers = self._accounts.get(account_id)
        if not subscribers:
            return False
        low = min(each.last for each in subscribers)
        self._instruments.event_catchup(cause)
        messages = await self._reader.events_after(account_id, low, CATCHUP_LIMIT)
        expected = low + 1
        for message in messages:
            payload, traced = unwrap(message)
            head = head_from(payload)
            if head.sequence != expected:
                logger.error(
                    "events {} to {} of an account are no longer in the outbox",
                    expected,
                    head.sequence - 1,
                )
            expected = head.sequence + 1
            # One that subscribed meanwhile, from further back, gets a page of its own.
            with push_span(self._instruments.tracing, traced):
                for subscriber in list(self._accounts.get(account_id, ())):
                    if low <= subscriber.last < head.sequence:
                        self._deliver(head, subscriber, payload)
        return len(messages) == CATCHUP_LIMIT
