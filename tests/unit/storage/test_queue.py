"""The writer's queue: decision order is kept whatever is taken, encoded ahead or given back."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.decision import Decision
from service.domain.instrument import InstrumentType, Symbol
from service.storage.batch import encode
from service.storage.queue import FIRST_BATCH, MAX_BATCH, Batch, WriterQueue
from service.storage.settings_write import SettingsWrite
from service.storage.views import EventView
from telemetry.spans import Tracing
from tests.unit.storage.decisions import Clerk
from tests.unit.telemetry.test_spans import Box

LOT = 10_000
EURUSD = Symbol(
    "EURUSD", 5, Decimal(100_000), "EUR", "USD", InstrumentType.FOREX, 100, 100 * LOT, 100
)


def queue_of(count: int) -> tuple[WriterQueue, list[Decision]]:
    """Return a queue with decisions of three accounts, and the decisions."""
    clerk = Clerk()
    queue = new_queue()
    for number in range(count):
        queue.put([clerk.fund(Decimal(1), 1 + number % 3)], number)
    return queue, clerk.decisions


def new_queue() -> WriterQueue:
    return WriterQueue(lambda: {"EURUSD": EURUSD})


def settings_change() -> SettingsWrite:
    done: object = None  # nobody waits
    return SettingsWrite((), done)  # type: ignore[arg-type]


def taken(queue: WriterQueue) -> Batch:
    batch = queue.take()
    assert isinstance(batch, Batch)
    return batch


def decided(batch: Batch) -> list[Decision]:
    return [queued.decision for queued in batch.queued]


def check_whole(batch: Batch) -> None:
    """Assert that a batch's rows and what it tells are those of its decisions."""
    decisions = decided(batch)
    assert [each.decision for each in batch.written] == decisions
    assert batch.rows == encode(decisions, [each.payload for each in batch.written])


# Taking


def test_a_short_queue_is_taken_whole_with_its_events() -> None:
    queue, decisions = queue_of(2 * FIRST_BATCH)
    batch = taken(queue)
    check_whole(batch)
    assert decided(batch) == decisions
    assert [each.received_ns for each in batch.written] == list(range(len(decisions)))
    event = msgspec.json.decode(batch.written[4].payload, type=EventView)
    assert (event.account_id, event.sequence, event.balance) == (2, 2, "1002.00")
    assert len(queue) == 0


def test_where_much_waits_the_first_batch_is_small() -> None:
    queue, decisions = queue_of(2 * FIRST_BATCH + 1)
    assert decided(taken(queue)) == decisions[:FIRST_BATCH]
    assert decided(taken(queue)) == decisions[FIRST_BATCH:]


def test_what_is_encoded_ahead_is_a_full_batch() -> None:
    queue, decisions = queue_of(FIRST_BATCH + 2 * MAX_BATCH)
    first = taken(queue)
    queue.encode_ahead()
    assert len(queue) == 2 * MAX_BATCH, "what is encoded ahead still waits"
    second = taken(queue)
    check_whole(second)
    assert decided(first) + decided(second) == decisions[: FIRST_BATCH + MAX_BATCH]


def test_a_batch_that_was_encoded_ahead_is_the_one_that_is_taken() -> None:
    queue, decisions = queue_of(10)
    queue.encode_ahead()
    queue.put([Clerk().fund(Decimal(1))], 0)
    queue.encode_ahead()  # has been done
    assert decided(taken(queue)) == decisions
    assert len(queue) == 1
    assert len(taken(queue).queued) == 1


def test_what_was_encoded_ahead_of_a_rush_is_encoded_again_with_it() -> None:
    queue, decisions = queue_of(10)
    queue.encode_ahead()
    rush = [Clerk().fund(Decimal(1)) for _ in range(11)]
    queue.put(rush, 0)
    batch = taken(queue)
    check_whole(batch)
    assert decided(batch) == [*decisions, *rush]
    assert len(queue) == 0


def test_nothing_can_be_encoded_ahead_of_nothing() -> None:
    queue = new_queue()
    queue.encode_ahead()
    decision = Clerk().fund(Decimal(1))
    queue.put([decision], 0)
    assert decided(taken(queue)) == [decision]


def test_nothing_can_be_taken_of_nothing() -> None:
    with pytest.raises(IndexError):
        new_queue().take()


# Changes of settings


def test_no_batch_reaches_beyond_a_change_of_settings() -> None:
    queue, before = queue_of(3)
    change = settings_change()
    queue.put_settings(change)
    after = Clerk().fund(Decimal(1))
    queue.put([after], 0)
    assert len(queue) == 5
    assert queue.settings() == [change]
    queue.encode_ahead()
    assert decided(taken(queue)) == before
    queue.encode_ahead()  # not yet: the change comes first
    assert queue.take() is change
    assert queue.settings() == []
    assert decided(taken(queue)) == [after]


def test_a_change_of_settings_shows_in_the_events_behind_it() -> None:
    digits = 5

    def symbols() -> dict[str, Symbol]:
        return {
            "EURUSD": Symbol(
                "EURUSD", digits, Decimal(1), "EUR", "USD", InstrumentType.FOREX, 1, 1, 1
            )
        }

    queue = WriterQueue(symbols)
    clerk = Clerk()
    queue.put([clerk.place(1)], 0)
    assert '"price":"1.10000"' in taken(queue).written[0].payload
    digits = 4
    queue.put([clerk.place(2)], 0)
    assert '"price":"11.0000"' in taken(queue).written[0].payload


# Giving back and withdrawing


def test_what_is_given_back_is_the_next_to_be_taken_in_its_order() -> None:
    queue, decisions = queue_of(9)
    batch = taken(queue)
    later = [Clerk().fund(Decimal(1)) for _ in range(9)]
    queue.put(later, 0)
    queue.encode_ahead()
    queue.give_back(batch.queued[4:])
    again = taken(queue)
    check_whole(again)
    assert decided(again) == [*decisions[4:], *later]


def test_what_is_withdrawn_leaves_the_others_in_order() -> None:
    queue, decisions = queue_of(9)
    queue.encode_ahead()
    change = settings_change()
    queue.put_settings(change)
    late = Clerk().fund(Decimal(1), account_id=2)
    queue.put([late], 0)
    mine = [decision for decision in decisions if decision.account.account_id == 2]
    assert queue.withdraw(2) == [*mine, late]
    assert queue.withdraw(2) == []
    batch = taken(queue)
    check_whole(batch)
    assert decided(batch) == [decision for decision in decisions if decision not in mine]
    assert queue.take() is change
    assert len(queue) == 0


# Against a plain list

moves = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, FIRST_BATCH + MAX_BATCH)),
        st.tuples(st.just("settings"), st.just(0)),
        st.tuples(st.just("ahead"), st.just(0)),
        st.tuples(st.just("take"), st.just(0)),
        st.tuples(st.just("give back"), st.integers(0, MAX_BATCH)),
        st.tuples(st.just("withdraw"), st.integers(1, 3)),
    ),
    max_size=15,
)


class Twin:
    """A queue beside a plain list of what must come out of it."""

    def __init__(self) -> None:
        self.queue = new_queue()
        self.waiting: list[Decision | SettingsWrite] = []
        self._clerk = Clerk()
        self._last: Batch | None = None

    def put(self, count: int) -> None:
        decisions = [self._clerk.fund(Decimal(1), 1 + number % 3) for number in range(count)]
        self.queue.put(decisions, 0)
        self.waiting += decisions

    def change_settings(self) -> None:
        change = settings_change()
        self.queue.put_settings(change)
        self.waiting.append(change)

    def take(self) -> None:
        if not self.waiting:
            return
        out = self.queue.take()
        if isinstance(out, SettingsWrite):
            assert out is self.waiting.pop(0)
            self._last = None
            return
        self._last = out
        count = len(out.queued)
        assert 1 <= count <= MAX_BATCH
        assert decided(out) == self.waiting[:count]
        check_whole(out)
        del self.waiting[:count]

    def give_back(self, kept: int) -> None:
        """Give back what was taken last, but for the first few."""
        if self._last is not None:
            self.queue.give_back(self._last.queued[kept:])
            self.waiting[:0] = decided(self._last)[kept:]
            self._last = None

    def withdraw(self, account: int) -> None:
        self._last = None
        mine = [
            item
            for item in self.waiting
            if isinstance(item, Decision) and item.account.account_id == account
        ]
        assert self.queue.withdraw(account) == mine
        gone = {id(item) for item in mine}
        self.waiting = [item for item in self.waiting if id(item) not in gone]


@settings(deadline=None, max_examples=60)
@given(moves)
def test_a_queue_gives_what_a_plain_list_does(steps: list[tuple[str, int]]) -> None:
    twin = Twin()
    for step, number in steps:
        match step:
            case "put":
                twin.put(number)
            case "settings":
                twin.change_settings()
            case "ahead":
                twin.queue.encode_ahead()
            case "take":
                twin.take()
            case "give back":
                twin.give_back(number)
            case _:
                twin.withdraw(number)
        assert len(twin.queue) == len(twin.waiting)
    while twin.waiting:
        twin.take()
    assert len(twin.queue) == 0


# Traces


def test_the_outbox_is_told_the_trace_of_what_is_exported_alone() -> None:
    queue, clerk = new_queue(), Clerk()
    causes = [Tracing(Box(), ratio).begin("cause") for ratio in (1.0, 0.0)]
    for cause in (None, *causes):
        queue.put([clerk.fund(Decimal(1), 1)], 0, cause)
    traces = taken(queue).rows[-5]  # four columns of answers to commands come behind it
    assert list(traces) == [None, causes[0].ids.traceparent, None]
