"""One line of the log, and how it is written: for people, or as JSON for machines.

A line holds text alone, taken when it was logged: whatever it speaks of may have changed by the
time it is written. On the console a line's control characters are escaped, so that no text from
outside can forge a line; only tracebacks take several lines.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple

import msgspec

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NOTHING: Mapping[str, str] = MappingProxyType({})

Clean = Callable[[str], str]


class Line(NamedTuple):
    """What was logged.

    Attributes:
        time: with its time zone.
        module, function, line: who logged it.
        exception: its traceback, "" for none.
        trace_id, span_id: of the span it was logged in, as hexadecimal digits, "" outside of one.
    """

    time: datetime
    level: str
    area: str
    module: str
    function: str
    line: int
    message: str
    exception: str = ""
    trace_id: str = ""
    span_id: str = ""
    extra: Mapping[str, str] = _NOTHING


def console_text(line: Line, clean: Clean) -> str:
    """Return a line for people, tracebacks below it."""
    parts = [clean(line.message), *(f"{name}={clean(text)}" for name, text in line.extra.items())]
    if line.trace_id:
        parts.append(f"trace_id={line.trace_id} span_id={line.span_id}")
    said = _CONTROL.sub(lambda found: ascii(found.group())[1:-1], " ".join(parts))
    time = f"{line.time:%Y-%m-%d %H:%M:%S}.{line.time.microsecond // 1000:03d}"
    where = f"{line.module}:{line.function}:{line.line}"
    text = f"{time} | {line.level:<8} | {where} - {said}\n"
    return f"{text}{clean(line.exception).rstrip()}\n" if line.exception else text


def json_text(line: Line, clean: Clean) -> str:
    """Return a line as one JSON object; what is empty is left out."""
    fields: dict[str, object] = {
        "time": line.time.astimezone(UTC).isoformat(timespec="microseconds"),
        "level": line.level,
        "area": line.area,
        "message": clean(line.message),
        "module": line.module,
        "function": line.function,
        "line": line.line,
    }
    if line.trace_id:
        fields |= {"trace_id": line.trace_id, "span_id": line.span_id}
    if line.exception:
        fields["exception"] = clean(line.exception).rstrip()
    if line.extra:
        fields["extra"] = {name: clean(text) for name, text in line.extra.items()}
    return msgspec.json.encode(fields).decode() + "\n"
