"""The output never makes whoever logs wait, and counts what it drops."""

import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest

from telemetry import log_output
from telemetry.log_line import Clean, Line
from telemetry.log_output import LogOutput


def line(message: str) -> Line:
    return Line(datetime.now(UTC), "INFO", "service", "some.module", "work", 1, message)


def render(line: Line, clean: Clean) -> str:
    if line.message == "impossible":
        raise TypeError(line.message)
    return clean(f"{line.message}\n")


class StuckOutput(StringIO):
    """Takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.is_reached = threading.Event()
        self.go_on = threading.Event()

    def write(self, text: str) -> int:
        self.is_reached.set()
        self.go_on.wait()
        return super().write(text)


@pytest.fixture
def stuck() -> Iterator[StuckOutput]:
    out = StuckOutput()
    yield out
    out.go_on.set()


def test_lines_are_written_in_order_and_cleaned() -> None:
    out = StringIO()
    output = LogOutput(out, render, lambda text: text.replace("secret", "***"))
    for number in range(2_000):
        output.put(line(f"secret {number}"))
    assert output.close()
    assert out.getvalue().splitlines() == [f"*** {number}" for number in range(2_000)]
    assert output.dropped == 0


def test_a_file_gets_them_too(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as out:
        output = LogOutput(out, render, str)
        output.put(line("with an odd surrogate \udc80"))
        assert output.close()
    assert (tmp_path / "log").read_text() == "with an odd surrogate \\udc80\n"


def test_what_finds_the_queue_full_is_dropped_counted_and_told(stuck: StuckOutput) -> None:
    output = LogOutput(stuck, render, str, max_waiting=3)
    output.put(line("first"))
    stuck.is_reached.wait()
    for number in range(10):
        output.put(line(str(number)))
    assert output.dropped == 7
    stuck.go_on.set()
    assert output.close()
    said = stuck.getvalue().splitlines()
    assert said[:4] == ["first", "0", "1", "2"]
    assert said[4].startswith("7 log lines were dropped")
    assert len(said) == 5


def test_closing_does_not_wait_for_an_output_that_is_stuck(
    stuck: StuckOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_output, "FLUSH_S", 0.05)
    output = LogOutput(stuck, render, str)
    output.put(line("first"))
    stuck.is_reached.wait()
    assert not output.close()


def test_a_reader_who_left_costs_lines_and_nothing_else() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as out:
        output = LogOutput(out, render, str)
        for number in range(5):
            output.put(line(str(number)))
        assert output.close()
    assert output.dropped == 5


def test_a_full_pipe_that_does_not_block_gets_all_of_it() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    texts = ["x" * 1_000 for _ in range(200)]
    with os.fdopen(writing, "w") as out, os.fdopen(reading) as read:
        output = LogOutput(out, render, str)
        for text in texts:
            output.put(line(text))
        assert [read.readline().rstrip() for _ in texts] == texts
        assert output.close()


def test_a_line_that_cannot_be_written_does_not_end_the_others() -> None:
    out = StringIO()
    output = LogOutput(out, render, str)
    output.put(line("impossible"))
    output.put(line("possible"))
    assert output.close()
    assert out.getvalue() == "a line cannot be written: TypeError\npossible\n"
