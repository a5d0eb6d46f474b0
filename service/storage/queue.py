"""What waits for the writer, in decision order, and the next batch of it.

A batch is encoded while the database is busy with the one before it. One that nothing was encoded
ahead for is kept small where much waits, so that the database soon has work while the rest is
encoded; what was encoded ahead of a rush is encoded again with it. Taking something back forgets
what was encoded ahead.
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from service.domain.decision import Decision
from service.domain.instrument import Symbol
from service.storage.batch import encode
from service.storage.settings_write import SettingsWrite
from service.storage.views import event_view
from telemetry.spans import Span

MAX_BATCH = 1_000
FIRST_BATCH = 200


class Queued:
    """A decision on its way, when what caused it was received (`perf_counter_ns`), and its span."""

    __slots__ = ("cause", "decision", "payload", "received_ns")

    def __init__(self, decision: Decision, received_ns: int, cause: Span | None) -> None:
        self.decision = decision
        self.received_ns = received_ns
        self.cause = cause
        self.payload: str | None = None


class Written(NamedTuple):
    """A committed decision with its event as JSON."""

    decision: Decision
    received_ns: int
    payload: str
    cause: Span | None = None


class Batch(NamedTuple):
    """Decisions that commit together, with their rows by column."""

    queued: list[Queued]
    written: list[Written]
    rows: list[Any]


class WriterQueue:
    """A queue of decisions and changes of settings."""

    def __init__(self, symbols: Callable[[], dict[str, Symbol]]) -> None:
        self._symbols = symbols
        self._items: deque[Queued | SettingsWrite] = deque()
        self._ahead: Batch | None = None
        self._encode_json = msgspec.json.Encoder().encode

    def __len__(self) -> int:
        return len(self._items)

    def put(
        self, decisions: Sequence[Decision], received_ns: int, cause: Span | None = None
    ) -> None:
        self._items.extend([Queued(decision, received_ns, cause) for decision in decisions])

    def put_settings(self, write: SettingsWrite) -> None:
        self._items.append(write)

    def settings(self) -> list[SettingsWrite]:
        """Return the changes of settings that wait."""
        return [item for item in self._items if isinstance(item, SettingsWrite)]

    def take(self) -> Batch | SettingsWrite:
        """Take what is next; the queue must not be empty."""
        first = self._items[0]
        if isinstance(first, SettingsWrite):
            self._items.popleft()
            return first
        batch, self._ahead = self._ahead, None
        if batch is None or 2 * len(batch.queued) < min(len(self._items), MAX_BATCH):
            limit = FIRST_BATCH if len(self._items) > 2 * FIRST_BATCH else MAX_BATCH
            batch = self.encode(self._next(limit))
        for _ in batch.queued:
            self._items.popleft()
        return batch

    def encode_ahead(self) -> None:
        """Encode the next batch while nothing else is to be done."""
        if self._ahead is None:
            queued = self._next(MAX_BATCH)
            if queued:
                self._ahead = self.encode(queued)

    def encode(self, queued: list[Queued]) -> Batch:
        """Make a batch."""
        symbols = self._symbols()
        written = []
        traces = []
        for each in queued:
            if each.payload is None:
                event = event_view(each.decision, symbols)
                each.payload = self._encode_json(event).decode()
            written.append(Written(each.decision, each.received_ns, each.payload, each.cause))
            traces.append(None if each.cause is None else each.cause.traceparent)
        decisions = [each.decision for each in written]
        rows = encode(decisions, [each.payload for each in written], traces)
        return Batch(queued, written, rows)

    def _next(self, limit: int) -> list[Queued]:
        queued = []
        for item in islice(self._items, limit):
            if isinstance(item, SettingsWrite):
                break
            queued.append(item)
        return queued

    def give_back(self, queued: Sequence[Queued]) -> None:
        """Put decisions that were taken back to the front."""
        self._ahead = None
        self._items.extendleft(reversed(queued))

    def withdraw(self, account_id: int) -> list[Decision]:
        """Take an account's decisions out of the queue."""
        self._ahead = None
        withdrawn = []
        kept: deque[Queued | SettingsWrite] = deque()
        for item in self._items:
            if isinstance(item, Queued) and item.decision.account.account_id == account_id:
                withdrawn.append(item.decision)
            else:
                kept.append(item)
        self._items = kept
        return withdrawn
