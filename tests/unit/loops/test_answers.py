"""Answers: each key decides one command, and everybody who asks is told."""

import asyncio
import gc

import msgspec
import pytest

from service.domain.rejection import RejectCode, Rejected
from service.loops import answers as module
from service.loops.answers import Answer, Answers, Unavailable, Withdrawn
from service.storage.views import EventView
from tests.truth import Truth

SLOT = (1, "key")


def payload_of(amount: str = "5.00") -> str:
    return Truth(1).fund(amount).decode()


def event_of(payload: str) -> EventView:
    return msgspec.json.decode(payload, type=EventView)


class Desk:
    """Decides commands with ids from 1, and says what the database has of a key."""

    def __init__(self, answers: Answers, known: bytes | None = None) -> None:
        self.answers = answers
        self.known = known
        self.decisions = 0
        self.lookups = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.refusal: Exception | None = None

    async def stored(self) -> bytes | None:
        self.lookups += 1
        await self.may_answer.wait()
        return self.known

    def decide(self) -> Answer:
        if self.refusal is not None:
            raise self.refusal
        self.decisions += 1
        return self.answers.expect(self.decisions)

    def ask(self, slot: tuple[int, str] = SLOT) -> "asyncio.Task[EventView]":
        return asyncio.create_task(self.answers.once(slot, self.stored, self.decide))


@pytest.fixture
def desk() -> Desk:
    return Desk(Answers())


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


# Without a key


async def test_a_decision_is_answered_with_its_event(desk: Desk) -> None:
    answer = desk.answers.expect(7)
    waiting = asyncio.create_task(desk.answers.wait(answer))
    await settle()
    assert not waiting.done()
    desk.answers.give(8, payload_of("1.00"))  # somebody else's
    desk.answers.give(7, payload_of())
    assert await waiting == event_of(payload_of())
    desk.answers.give(7, payload_of())  # nobody waits any more


async def test_decisions_that_are_taken_back_are_told_to_who_waits_for_them(desk: Desk) -> None:
    first, second, third = (desk.answers.expect(number) for number in (1, 2, 3))
    desk.answers.refuse([1, 3, 99], Withdrawn("taken back"))
    for answer in (first, third):
        with pytest.raises(Withdrawn):
            await desk.answers.wait(answer)
    assert not second.done()
    desk.answers.refuse_all(Unavailable("stopped"))
    with pytest.raises(Unavailable, match="stopped"):
        await desk.answers.wait(second)
    desk.answers.refuse_all(Unavailable("stopped"))  # nobody is left


async def test_a_commit_that_takes_too_long_is_said_and_given_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_TIMEOUT_S", 0.01)
    with pytest.raises(Unavailable, match="same idempotency key") as caught:
        await desk.ask()
    assert caught.value.retry_after_s == 5
    again = desk.ask()
    await settle()
    desk.answers.give(1, payload_of())
    assert await again == event_of(payload_of())
    assert desk.decisions == 1, "the repetition waited for the first"


# With a key


async def test_concurrent_repetitions_decide_once_and_are_all_answered(desk: Desk) -> None:
    desk.may_answer.clear()
    asked = [desk.ask() for _ in range(5)]
    await settle()
    desk.may_answer.set()
    await settle()
    asked.append(desk.ask())  # decided, and not committed yet
    await settle()
    assert (desk.decisions, desk.lookups) == (1, 1)
    desk.answers.give(1, payload_of())
    assert await asyncio.gather(*asked) == [event_of(payload_of())] * 6


async def test_a_key_of_another_account_is_another_key(desk: Desk) -> None:
    one, two = desk.ask((1, "key")), desk.ask((2, "key"))
    await settle()
    assert desk.decisions == 2
    desk.answers.give(2, payload_of("2.00"))
    desk.answers.give(1, payload_of("1.00"))
    assert (await one).balance == "1001.00"
    assert (await two).balance == "1002.00"


async def test_a_key_that_was_used_before_is_answered_from_the_database(desk: Desk) -> None:
    desk.known = payload_of().encode()
    assert await desk.ask() == event_of(payload_of())
    assert await desk.ask() == event_of(payload_of())
    assert (desk.decisions, desk.lookups) == (0, 2), "it is not kept in memory"


async def test_after_the_answer_the_key_is_looked_up(desk: Desk) -> None:
    asked = desk.ask()
    await settle()
    desk.answers.give(1, payload_of())
    await asked
    desk.known = payload_of().encode()
    assert await desk.ask() == event_of(payload_of())
    assert (desk.decisions, desk.lookups) == (1, 2)


async def test_a_refusal_is_told_to_all_and_frees_the_key(desk: Desk) -> None:
    desk.refusal = Rejected(RejectCode.NO_QUOTE, "no price yet")
    desk.may_answer.clear()
    asked = [desk.ask() for _ in range(3)]
    await settle()
    desk.may_answer.set()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert outcomes == [desk.refusal] * 3
    desk.refusal = None
    again = desk.ask()
    await settle()
    assert desk.decisions == 1
    desk.answers.give(1, payload_of())
    assert await again == event_of(payload_of())


@pytest.mark.parametrize("error", [Withdrawn("taken back"), Unavailable("stopped")])
async def test_a_decision_that_is_not_stored_frees_the_key(desk: Desk, error: Exception) -> None:
    asked = [desk.ask(), desk.ask()]
    await settle()
    desk.answers.refuse([1], error)
    assert await asyncio.gather(*asked, return_exceptions=True) == [error, error]
    again = desk.ask()
    await settle()
    assert desk.decisions == 2
    desk.answers.give(2, payload_of())
    assert await again == event_of(payload_of())


async def test_a_database_that_cannot_be_asked_frees_the_key(desk: Desk) -> None:
    async def unreachable() -> bytes | None:
        raise Unavailable("the database is away")

    with pytest.raises(Unavailable, match="away"):
        await desk.answers.once(SLOT, unreachable, desk.decide)
    assert desk.decisions == 0
    desk.known = payload_of().encode()
    assert await desk.ask() == event_of(payload_of())


# Cancelled askers


async def test_a_first_asker_cancelled_before_deciding_leaves_nothing_decided(desk: Desk) -> None:
    desk.may_answer.clear()
    first, second = desk.ask(), desk.ask()
    await settle()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    with pytest.raises(Unavailable, match="interrupted"):
        await second
    assert desk.decisions == 0
    desk.may_answer.set()
    third = desk.ask()
    await settle()
    desk.answers.give(1, payload_of())
    assert await third == event_of(payload_of())


async def test_a_first_asker_cancelled_after_deciding_leaves_the_others_waiting(desk: Desk) -> None:
    first, second = desk.ask(), desk.ask()
    await settle()
    assert desk.decisions == 1
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    third = desk.ask()
    await settle()
    assert desk.decisions == 1
    desk.answers.give(1, payload_of())
    assert [*await asyncio.gather(second, third)] == [event_of(payload_of())] * 2


async def test_a_refusal_that_nobody_waits_for_is_no_error_and_frees_the_key(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    only = desk.ask()
    await settle()
    only.cancel()
    await asyncio.wait((only,))
    desk.answers.refuse([1], Withdrawn("taken back"))
    await settle()
    gc.collect()
    assert caplog.records == []  # where asyncio tells of errors that nobody has seen
    again = desk.ask()
    await settle()
    assert desk.decisions == 2
    desk.answers.give(2, payload_of())
    assert await again == event_of(payload_of())
