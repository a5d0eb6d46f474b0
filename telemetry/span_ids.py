"""The identity of a span, and how it travels: W3C trace context."""

from typing import NamedTuple


class SpanIds(NamedTuple):
    """The identity of a span, as it is carried between processes."""

    trace_id: int
    span_id: int

    @property
    def trace(self) -> str:
        """The trace id as logs, exemplars and trace stores write it."""
        return f"{self.trace_id:032x}"

    @property
    def span(self) -> str:
        return f"{self.span_id:016x}"

    @property
    def traceparent(self) -> str:
        """W3C trace context of a span that is exported: 55 characters."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-01"


def parse_traceparent(text: str) -> SpanIds | None:
    """Return the ids in a W3C traceparent, None where it is not one or tells of no sampled span."""
    parts = text.split("-")
    if len(parts) != 4 or [len(part) for part in parts] != [2, 32, 16, 2]:
        return None
    try:
        trace_id, span_id, flags = (int(part, 16) for part in parts[1:])
    except ValueError:
        return None
    return SpanIds(trace_id, span_id) if trace_id and span_id and flags & 1 else None
