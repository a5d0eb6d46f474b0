"""The text of `/metrics`: Prometheus 0.0.4, or OpenMetrics 1.0.0 with exemplars where asked for.

A child keeps the beginnings of its lines, so that a scrape only appends the numbers: 2,000 lines
take a few milliseconds where the stock renderer takes 35 to 50. Names, labels and help come from
the catalogue and are plain; label values are escaped once, when their child is made.
"""

import math
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from telemetry.catalogue import Kind, Metric

_UNITS = ("seconds", "bytes")


class Format(Enum):
    """A format and its content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

    @property
    def content_type(self) -> str:
        return self.value


class Exemplar(NamedTuple):
    """A measured value that a trace explains; `time_s` is the Unix time it was taken."""

    trace_id: str
    value: float
    time_s: float


def choose_format(accept: str) -> Format:
    """Return OpenMetrics where an Accept header lists it in a version we speak, else the text."""
    for part in accept.lower().split(","):
        media_type, *rest = (token.strip() for token in part.split(";"))
        parameters = dict(token.partition("=")[::2] for token in rest)
        if (
            media_type == "application/openmetrics-text"
            and parameters.get("version", "1.0.0") in ("0.0.1", "1.0.0")
            and parameters.get("q", "1").strip("0.") != ""
        ):
            return Format.OPENMETRICS
    return Format.TEXT


def head(metric: Metric, form: Format) -> list[str]:
    """Return the lines that describe a metric."""
    name = metric.name
    units = []
    if form is Format.OPENMETRICS:
        if metric.kind is Kind.COUNTER:
            name = name.removesuffix("_total")
        if metric.unit in _UNITS:
            units.append(f"# UNIT {name} {metric.unit}\n")
    return [f"# HELP {name} {metric.help}\n", f"# TYPE {name} {metric.kind.value}\n", *units]


def end(form: Format) -> str:
    """Return what ends a text."""
    return "# EOF\n" if form is Format.OPENMETRICS else ""


def line_start(name: str, labels: Sequence[tuple[str, str]]) -> str:
    """Return a line up to its value."""
    if not labels:
        return f"{name} "
    pairs = ",".join([f'{label}="{_escaped(value)}"' for label, value in labels])
    return f"{name}{{{pairs}}} "


def number_line(start: str, value: float) -> str:
    """Return the line of one value."""
    return f"{start}{_number(value)}\n"


def bucket_lines(
    starts: Sequence[str], counts: Sequence[int], exemplars: dict[int, Exemplar]
) -> Iterator[str]:
    """Yield the lines of a histogram's buckets, cumulated; give no exemplars to the plain text."""
    cumulated = 0
    for bucket, (start, count) in enumerate(zip(starts, counts, strict=True)):
        cumulated += count
        if bucket in exemplars:
            trace_id, value, time_s = exemplars[bucket]
            labels = f'{{trace_id="{_escaped(trace_id)}"}}'
            yield f"{start}{cumulated} # {labels} {_number(value)} {time_s:.3f}\n"
        else:
            yield f"{start}{cumulated}\n"


def _number(value: float) -> str:
    if type(value) is int:
        return str(value)
    number = float(value)
    if math.isfinite(number):
        return repr(number)
    return "NaN" if number != number else "+Inf" if number > 0 else "-Inf"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
