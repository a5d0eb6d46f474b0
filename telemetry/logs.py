"""Logging: what loguru and the standard library log goes, area by area, to one output.

Each area, a set of modules, has a level of its own; modules of no area share one. Every line inside
a span carries its ids; a line that is bound to a `trace_id` by `logger.bind` keeps that. Errors
and warnings that repeat are counted instead of written (`telemetry/repetition.py`), unless they are
bound to a trace: whoever does that limits the rate. Whoever logs pays for the text of the message
and, with an exception, of its traceback, for nothing else; never for the output. Values of
variables are in no traceback, secrets in no line.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from threading import RLock
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from loguru import logger

from telemetry.log_line import Line
from telemetry.log_output import LogOutput, Render
from telemetry.redaction import Redaction
from telemetry.spans import current_span
from telemetry.vocabulary import LOG_LEVELS

if TYPE_CHECKING:
    from loguru import Message, Record

_NUMBERS = {name: logger.level(name).no for name in LOG_LEVELS}
_WARNING = _NUMBERS["WARNING"]


class Area:
    """Modules that are logged from a level of their own on."""

    __slots__ = ("level", "name", "number")

    def __init__(self, name: str, level: str) -> None:
        self.name = name
        self.level = level
        self.number = _NUMBERS[level]


class Logs:
    """Takes over all logging of the process until it is closed; a context manager.

    Args:
        out: where lines go, and nowhere else.
        areas: of the modules that have one.
        other: the area of the rest, libraries included.
        render: how a line is written.
    """

    def __init__(self, out: TextIO, areas: Mapping[str, Area], other: Area, render: Render) -> None:
        self.redaction = Redaction()
        self._areas = areas
        self._other = other
        self._output = LogOutput(out, render, self.redaction.clean)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = RLock()
        lowest = min((other, *areas.values()), key=lambda area: area.number)
        logger.remove()
        self._sink = logger.add(
            self._take,
            level=lowest.level,
            filter=self._is_wanted,
            format=lambda _: "{exception}",
            backtrace=False,
            diagnose=False,  # never the values of variables: some are secrets
        )
        self._standard = _StandardLogging(other.level)

    def count(self, level: str, area: str) -> int:
        """Return how many records an area logged at a level, repetitions included."""
        return self._counts[level, area]

    @property
    def dropped(self) -> int:
        """Lines that were not written because they came too fast, or could not be."""
        return self._output.dropped

    def close(self) -> None:
        """Write what waits, bounded in time, and log nothing any more."""
        self._standard.restore()
        logger.remove(self._sink)
        self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _is_wanted(self, record: "Record") -> bool:
        """Judge a record before anything of it is made into text."""
        area = self._areas.get(record["name"] or "", self._other)
        number = record["level"].no
        if number < area.number:
            return False
        with self._lock:
            self._counts[_level(number), area.name] += 1
        if number < _WARNING or "trace_id" in record["extra"]:
            return True
        return self._output.is_new(self._line(record, ""))

    def _take(self, message: "Message") -> None:
        self._output.put(self._line(message.record, str(message)))

    def _line(self, record: "Record", exception: str) -> Line:
        area = self._areas.get(record["name"] or "", self._other)
        extra = {name: str(value) for name, value in record["extra"].items()}
        trace_id, span_id = extra.pop("trace_id", ""), extra.pop("span_id", "")
        if not trace_id:
            span = current_span()
            if span is not None:
                trace_id, span_id = span.ids.trace, span.ids.span
        return Line(
            record["time"],
            record["level"].name,
            area.name,
            record["name"] or "",
            record["function"],
            record["line"],
            record["message"],
            exception,
            trace_id,
            span_id,
            extra,
        )


class _StandardLogging(logging.Handler):
    """Hands on what libraries log, from a level on, instead of what was there to take it."""

    def __init__(self, level: str) -> None:
        super().__init__()
        root = logging.getLogger()
        self._before = root.handlers[:], root.level
        root.handlers[:] = [self]
        root.setLevel(level)
        logging.captureWarnings(capture=True)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None

        def moved(to: "Record") -> None:
            to["name"], to["function"] = record.name, record.funcName or ""
            to["line"] = record.lineno

        level = _level(record.levelno)
        logger.patch(moved).opt(exception=error).log(level, "{}", record.getMessage())

    def restore(self) -> None:
        root = logging.getLogger()
        root.handlers[:], level = self._before
        root.setLevel(level)
        logging.captureWarnings(capture=False)


def _level(number: int) -> str:
    """Return the level at or below a number, which may be one of somebody's own."""
    return next((name for name in reversed(LOG_LEVELS) if number >= _NUMBERS[name]), LOG_LEVELS[0])
