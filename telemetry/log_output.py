"""Where log lines go: a bounded queue and a thread that writes them out.

Whoever logs never waits, neither for the disk nor for a reader who has stopped reading: a line that
finds the queue full, or that cannot be written, is dropped and counted, and the log says so when it
can. `close` waits for at most `FLUSH_S`. Bytes go straight to the file descriptor where there is
one: a buffer's lock held by a stuck thread would bring the interpreter down at its end.
"""

import io
import os
import time
from collections.abc import Callable
from datetime import datetime
from queue import Empty, SimpleQueue
from threading import RLock, Thread
from typing import TextIO

from telemetry.log_line import Clean, Line
from telemetry.repetition import Repetitions

MAX_WAITING = 10_000
MAX_BATCH = 500
FLUSH_S = 1.0
_LOOK_S = 1.0
_FULL_PAUSE_S = 0.02

Render = Callable[[Line, Clean], str]


class LogOutput:
    """Writes lines to `out` from a thread of its own, from the start until `close`."""

    def __init__(
        self, out: TextIO, render: Render, clean: Clean, max_waiting: int = MAX_WAITING
    ) -> None:
        self._write_text = _writer(out)
        self._render = render
        self._clean = clean
        # One that may be logged to from a finaliser, amidst a call of its own.
        self._queue: SimpleQueue[Line | None] = SimpleQueue()
        self._max_waiting = max_waiting
        self._repetitions = Repetitions()
        self._dropped = 0
        self._told = 0
        self._lock = RLock()
        self._thread = Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that were not written so far."""
        return self._dropped

    def is_new(self, line: Line) -> bool:
        """Tell whether `line` is no repetition; a repetition is counted, and told later."""
        return self._repetitions.is_new(line, time.monotonic())

    def put(self, line: Line) -> None:
        """Have a line written, or dropped."""
        if self._queue.qsize() >= self._max_waiting:
            self._drop(1)
        else:
            self._queue.put(line)

    def close(self) -> bool:
        """Write what waits, for at most `FLUSH_S`; return whether all of it was written."""
        self._queue.put(None)
        self._thread.join(FLUSH_S)
        return not self._thread.is_alive()

    def _drop(self, count: int) -> None:
        with self._lock:
            self._dropped += count

    def _run(self) -> None:
        is_open = True
        while is_open:
            lines = self._next_lines()
            is_open = None not in lines
            # Of what is still held back at the end the period is over, too.
            due = self._repetitions.summaries(time.monotonic(), *(() if is_open else (0.0,)))
            self._write([*(line for line in lines if line is not None), *due])

    def _next_lines(self) -> list[Line | None]:
        lines: list[Line | None] = []
        try:
            lines.append(self._queue.get(timeout=_LOOK_S))
            while len(lines) < MAX_BATCH:
                lines.append(self._queue.get_nowait())
        except Empty:
            pass
        return lines

    def _write(self, lines: list[Line]) -> None:
        missing = self._dropped - self._told
        if missing:
            lines.append(_missing_line(missing))
        if not lines:
            return
        try:
            self._write_text("".join(map(self._text, lines)))
        except (OSError, ValueError):  # a full disk, a reader who left, a file that was closed
            self._drop(len(lines) - bool(missing))
        else:
            self._told += missing

    def _text(self, line: Line) -> str:
        try:
            return self._render(line, self._clean)
        except Exception as error:
            # A line must not end the thread that writes all the others.
            fault = f"a line cannot be written: {type(error).__name__}"
            return self._render(line._replace(message=fault, exception="", extra={}), self._clean)


def _missing_line(count: int) -> Line:
    message = f"{count} log lines were dropped: they came faster than they could be written"
    now = datetime.now().astimezone()
    return Line(now, "WARNING", "service", __name__, "_write", 0, message)


def _writer(out: TextIO) -> Callable[[str], None]:
    try:
        descriptor = out.fileno()
    except (AttributeError, io.UnsupportedOperation):

        def write_text(text: str) -> None:
            out.write(text)
            out.flush()

        return write_text

    def write_bytes(text: str) -> None:
        rest = memoryview(text.encode(errors="backslashreplace"))
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:  # a pipe that somebody made non-blocking
                time.sleep(_FULL_PAUSE_S)

    return write_bytes
