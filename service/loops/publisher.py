"""The publisher: what was committed goes to the cache and, by pub/sub, to whoever listens.

It relays the outbox: every event reaches Redis at least once, those of an account in order. While
all is well events come from memory as they are committed. What did not fit in the queue, what Redis
did not take, and what a former owner of the shard left behind is read from the outbox, in pages,
from the last event that Redis is known to have had; then the queue goes on where the outbox ends.
While a node of a cluster is away, accounts that have missed nothing yet go on meanwhile.
How far it got is stored every `MARK_INTERVAL_S`: after a restart the events since then are
published again, which their `sequence` tells.

It runs beside trading and never holds it up; memory is bounded by the queue and a page. A new cache
generation makes every entry that missed an event a miss. Limits: pub/sub keeps nothing. Who was
connected before an outage of Redis has `RESUBSCRIBE_S` to come back; who is away for longer finds a
jump in `sequence`.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from loguru import logger
from opentelemetry.trace import SpanKind

from service.instruments import Instruments
from service.storage.cache import Cache
from service.storage.envelope import head_from
from service.storage.errors import Unreachable
from service.storage.outbox import Event
from service.storage.queue import Written
from telemetry.pulse import Pulse
from telemetry.spans import NO_SPAN

QUEUE_LIMIT = 50_000
MAX_PUBLISH = 2_000
MARK_INTERVAL_S = 1.0
RETRY_S = 0.5
RESUBSCRIBE_S = 1.0
PUBLISH = "publish event"
PRODUCER = SpanKind.PRODUCER


class Outbox(Protocol):
    """Committed events in order, and how far they were published; raises `Unreachable`."""

    async def page_after(self, event_id: int, limit: int) -> list[Event]: ...

    async def published_until(self) -> int: ...

    async def mark_published(self, event_id: int) -> None: ...


class Publisher:
    """Publishes one shard's committed events in order."""

    def __init__(self, cache: Cache, outbox: Outbox, instruments: Instruments) -> None:
        self._cache = cache
        self._outbox = outbox
        self._instruments = instruments
        self._tracing = instruments.tracing
        self._queue: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._is_behind = False
        self._has_missed = False
        self._has_term_begun = True
        self._is_publishing = False
        self._missed: set[int] | None = None  # who has missed events, None: anyone may have
        self._told: set[int] = set()  # who was told of events while others missed theirs
        self._published = 0
        self._marked = 0
        self._mark_due = 0.0
        self.pulse = Pulse()
        instruments.watch_relay(lambda: self._is_behind)

    @property
    def is_idle(self) -> bool:
        """Whether everything that was handed over has reached Redis."""
        return not (self._queue or self._is_behind or self._is_publishing)

    def lead(self) -> None:
        """Find out what was committed and not published; called when trading begins.

        What was published in a term before is forgotten: the database may have been restored from a
        backup since, and give the ids of those events again.
        """
        self._has_term_begun = True
        self._fall_behind()

    def publish(self, written: Sequence[Written]) -> None:
        """Queue committed events; called by the writer's owner after each commit."""
        if len(self._queue) + len(written) > QUEUE_LIMIT:
            self._cache.renew()
            self._fall_behind()
            return
        self._queue.extend(
            [
                Event(
                    each.decision.decision_id,
                    each.payload,
                    None if each.cause is None else each.cause.followed_by,
                )
                for each in written
            ]
        )
        self._wake.set()

    async def run(self) -> None:
        """Publish for ever."""
        while True:
            if self._is_behind:
                await self._catch_up()
            elif self._queue:
                missed = await self._relay(self._take(), "commit")
                if missed:
                    self._note_missed(missed)
            else:
                self._wake.clear()
                await self._rest()
            await self._mark()
            self.pulse.beat()

    def _fall_behind(self) -> None:
        self._queue.clear()
        self._missed = None
        self._is_behind = self._has_missed = True
        self._wake.set()

    def _note_missed(self, missed: set[int]) -> None:
        """Note who missed events: they alone, unless more are behind."""
        self._missed = None if self._is_behind else missed
        self._told.clear()
        self._is_behind = self._has_missed = True

    def _take(self) -> list[Event]:
        return [self._queue.popleft() for _ in range(min(len(self._queue), MAX_PUBLISH))]

    async def _catch_up(self) -> None:
        """Publish what the outbox holds above the last event that Redis had."""
        if not await self._cache.ping():
            while not await self._cache.ping():
                await self._pass_on(RETRY_S)
            await self._pass_on(RESUBSCRIBE_S, is_back=True)
        try:
            while self._is_behind:
                # What is committed from here on is queued, or on the page, or both.
                self._has_missed = False
                self._queue.clear()
                if self._has_term_begun:
                    self._published = self._marked = await self._outbox.published_until()
                    self._has_term_begun = False
                page = await self._outbox.page_after(self._published, MAX_PUBLISH)
                missed = await self._relay(page, "outbox")
                self._is_behind = self._has_missed or len(page) == MAX_PUBLISH
                if missed:
                    self._note_missed(missed)
                    await self._pass_on(RETRY_S)
                    return
                await self._mark()
                self.pulse.beat()
        except Unreachable:
            await asyncio.sleep(RETRY_S)

    async def _pass_on(self, seconds: float, *, is_back: bool = False) -> None:
        """For so long, publish what is committed of who has missed nothing: again, later.

        Once Redis `is_back`, who listens to the node that was away is not back yet: only those are
        told who were told while it was away.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._wake.clear()
            if self._queue and self._missed is not None:
                await self._send_whole(self._missed, is_back=is_back)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._wake.wait()
            self.pulse.beat()

    async def _send_whole(self, missed: set[int], *, is_back: bool) -> None:
        """Send what is queued, but of those that have `missed` something, or would miss this."""
        events = []
        told: set[int] = set()
        for event in self._take():
            account_id = head_from(event.payload).account_id
            if account_id in missed or (is_back and account_id not in self._told):
                continue
            if self._cache.is_away(account_id):
                missed.add(account_id)
            else:
                events.append(event)
                told.add(account_id)
        if events:
            missed |= await self._send(events)
            self._told |= told - missed

    async def _relay(self, events: Sequence[Event], source: str) -> set[int]:
        """Publish what was not before; return the accounts of which Redis may not have had all."""
        new = [each for each in events if each.event_id > self._published]
        if not new:
            return set()
        self._is_publishing = True
        try:
            missed = await self._send(new)
        except BaseException:  # whoever begins again does not have them any more
            self._cache.renew()
            self._fall_behind()
            raise
        finally:
            self._is_publishing = False
        if missed:
            logger.warning("events did not reach Redis: they will be read from the outbox")
        else:
            self._published = new[-1].event_id
            self._instruments.events_relayed(source, len(new))
        return missed

    async def _send(self, events: Sequence[Event]) -> set[int]:
        """Send events to Redis, those that are traced with the spans of their publishing.

        Returns:
            The accounts of which it may not have had all.
        """
        # Of what is read from the outbox, another process may have traced the cause.
        is_on, after = self._tracing.is_on, self._tracing.after
        spans = [
            after(PUBLISH, each.span, PRODUCER) if is_on and each.span is not None else None
            for each in events
        ]
        traced = [span for span in spans if span is not None]
        # What Redis is asked is part of the first.
        with traced[0] if traced else NO_SPAN:
            missed = await self._cache.apply_events(
                [each.payload for each in events],
                [None if span is None else span.ids for span in spans] if traced else (),
            )
        for span in traced:
            span.end()
        return missed

    async def _mark(self) -> None:
        """Store how far it got, now and then."""
        now = time.monotonic()
        if self._marked < self._published and self._mark_due <= now:
            self._mark_due = now + MARK_INTERVAL_S
            # With the database away it is stored later: until then more is published twice.
            with contextlib.suppress(Unreachable):
                await self._outbox.mark_published(self._published)
                self._marked = self._published

    async def _rest(self) -> None:
        """Wait for events, or until it is time to store how far it got."""
        if self._marked < self._published:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(MARK_INTERVAL_S):
                    await self.pulse.rest(self._wake.wait())
        else:
            await self.pulse.rest(self._wake.wait())
