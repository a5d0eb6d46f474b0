"""Errors that repeat: the first, then a count."""

from datetime import UTC, datetime

from telemetry.log_line import Line
from telemetry.repetition import MAX_TEXTS, PERIOD_S, Repetitions


def line(message: str, number: int = 1) -> Line:
    return Line(datetime.now(UTC), "ERROR", "service", "some.module", "work", number, message)


def test_the_first_is_new_and_those_that_differ_in_digits_are_counted() -> None:
    repetitions = Repetitions()
    assert repetitions.is_new(line("order 1 failed"), 0.0)
    assert not any(repetitions.is_new(line(f"order {n} failed"), 1.0) for n in range(2, 9))
    assert repetitions.summaries(PERIOD_S - 0.1) == []
    (summary,) = repetitions.summaries(PERIOD_S)
    assert summary.message == "repeated 7 times in 10 s: order 8 failed"
    assert (summary.level, summary.module) == ("ERROR", "some.module")


def test_after_a_quiet_period_it_is_new_again() -> None:
    repetitions = Repetitions()
    assert repetitions.is_new(line("failed"), 0.0)
    assert not repetitions.is_new(line("failed"), 1.0)
    assert len(repetitions.summaries(PERIOD_S)) == 1
    assert repetitions.summaries(2 * PERIOD_S) == []
    assert repetitions.is_new(line("failed"), 2 * PERIOD_S)


def test_other_texts_and_other_places_are_new() -> None:
    repetitions = Repetitions()
    assert repetitions.is_new(line("the feed failed"), 0.0)
    assert repetitions.is_new(line("the sweep failed"), 0.0)
    assert repetitions.is_new(line("the feed failed", number=2), 0.0)


def test_a_place_that_always_says_something_else_is_bounded() -> None:
    repetitions = Repetitions()
    texts = ("".join(chr(97 + int(digit)) for digit in str(n)) for n in range(1_000))
    assert sum(repetitions.is_new(line(text), 0.0) for text in texts) == MAX_TEXTS + 1
    (summary,) = repetitions.summaries(PERIOD_S)
    assert summary.message.startswith(f"repeated {1_000 - MAX_TEXTS - 1} times")
