"""Spans that cost little until it is known that somebody wants them.

A `Span` is a few numbers; only one that is wanted when it ends becomes an OpenTelemetry span and
goes to the `Outlet`. Wanted is a trace that was sampled (by its id, as the SDK's
`TraceIdRatioBased` does; a child as its parent), and, whatever the ratio, what took longer than its
`Limit`: with all the spans around it that are still open, so that what explains it is there too,
with its true start and end. That is logged with its trace id, at a bounded rate for each kind, and
counted.

The current span is that of the task or callback (a context variable): a new span is its child, or
the root of a trace. A background task must start with an empty context.

Without an outlet there are no spans at all: `Tracing.span` returns one that does nothing.
"""

import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from random import Random
from types import TracebackType
from typing import Protocol

from loguru import logger
from opentelemetry.trace import SpanKind

from telemetry.limits import Limit, TokenBucket
from telemetry.span_ids import SpanIds

MAX_LINKS = 32
_NS_PER_S = 1_000_000_000
_INTERNAL = SpanKind.INTERNAL
_LOW_BITS = (1 << 64) - 1

Value = str | bool | int | float


class Outlet(Protocol):
    """Where wanted spans go; it returns at once."""

    def take(self, span: "Span") -> None: ...


class Span:
    """Something that takes time. Use it as a context manager, or `end` it by hand.

    `start_ns` and `end_ns` are Unix time, `end_ns` is 0 while it goes on. Where it was set already,
    the span is over, and `end` only hands it over. `followed_by` is the span that went on with it,
    from which others go on.
    """

    __slots__ = (
        "_around",
        "_has_ended",
        "_is_told",
        "_tracing",
        "attributes",
        "end_ns",
        "error",
        "followed_by",
        "ids",
        "is_wanted",
        "kind",
        "limit",
        "links",
        "name",
        "parent",
        "parent_ids",
        "start_ns",
    )

    def __init__(
        self,
        tracing: "Tracing",
        name: str,
        ids: SpanIds,
        parent: "Span | None",
        parent_ids: SpanIds | None,
        is_wanted: bool,
        kind: SpanKind,
        limit: Limit | None,
        start_ns: int,
    ) -> None:
        self._tracing = tracing
        self.name = name
        self.ids = ids
        self.parent = parent
        self.parent_ids = parent_ids
        self.is_wanted = is_wanted
        self.kind = kind
        self.limit = limit
        self.start_ns = start_ns
        self.end_ns = 0
        self.attributes: dict[str, Value] = {}
        self.links: Sequence[SpanIds] = ()
        self.error: str | None = None
        self.followed_by: SpanIds | None = None
        self._is_told = self._has_ended = False
        self._around: Span | None = None

    @property
    def trace(self) -> str | None:
        """The trace id, if the span is exported; for exemplars."""
        return self.ids.trace if self.is_wanted else None

    @property
    def traceparent(self) -> str | None:
        """W3C trace context, if the span is exported; for who goes on with it elsewhere."""
        return self.ids.traceparent if self.is_wanted else None

    def note(self, name: str, value: Value) -> None:
        """Explain it by an attribute."""
        self.attributes[name] = value

    def rename(self, name: str) -> None:
        self.name = name

    def fail(self, error: str) -> None:
        """Take that it failed, and how."""
        self.error = error

    def link(self, ids: SpanIds | None) -> None:
        """Point to another span that has to do with it, unless there is none."""
        if ids is not None:
            self.links = (*self.links, ids)

    def child(self, name: str, kind: SpanKind = _INTERNAL, limit: Limit | None = None) -> "Span":
        """Return a part of it that begins now."""
        return self._tracing.begin(name, kind, limit, parent=self)

    def end(self, end_ns: int = 0) -> None:
        """End it, now or at a Unix time; once is enough."""
        if self._has_ended:
            return
        self._has_ended = True
        self.end_ns = end_ns or self.end_ns or time.time_ns()
        self.judge()
        if self.is_wanted:
            self._tracing.export(self)

    def judge(self) -> None:
        """Tell of it, which is over, if it took longer than its limit; `end` does, if not yet."""
        limit = self.limit
        if limit is not None and self.end_ns - self.start_ns > limit.ns and not self._is_told:
            self._is_told = True
            self._tracing.tell(self, limit)

    def want(self) -> None:
        """Have it exported with all around it that is open, since it explains what happened."""
        span: Span | None = self
        while span is not None:
            span.is_wanted = span._is_told = True
            span = span.parent

    def __enter__(self) -> "Span":
        self._around = _CURRENT.get()
        _CURRENT.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _CURRENT.set(self._around)
        self._around = None
        if error is not None and self.error is None:
            self.error = type(error).__name__
        self.end()


class NoSpan:
    """A span where there is no tracing."""

    __slots__ = ()
    trace: str | None = None
    is_wanted = False

    def note(self, name: str, value: Value) -> None: ...

    def rename(self, name: str) -> None: ...

    def fail(self, error: str) -> None: ...

    def link(self, ids: SpanIds | None) -> None: ...

    def __enter__(self) -> "NoSpan":
        return self

    def __exit__(self, *error: object) -> None: ...


NO_SPAN = NoSpan()
AnySpan = Span | NoSpan
_CURRENT: ContextVar[Span | None] = ContextVar("current_span", default=None)
current_span: Callable[[], Span | None] = _CURRENT.get


class Tracing:
    """Makes spans; `is_on` is False without an outlet."""

    def __init__(
        self,
        outlet: Outlet | None = None,
        ratio: float = 0.0,
        random: Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the share of traces, 0 to 1, that are sampled."""
        self.is_on = outlet is not None
        self._outlet = outlet
        self._bound = round(ratio * (_LOW_BITS + 1))
        self._bits = (random or Random()).getrandbits
        self._buckets = {kind: TokenBucket(clock) for kind in Limit}
        self.slow_traced = dict.fromkeys(Limit, 0)
        self.slow_limited = dict.fromkeys(Limit, 0)

    def span(self, name: str, kind: SpanKind = _INTERNAL, limit: Limit | None = None) -> AnySpan:
        """Return a child of the current span, or a root."""
        if not self.is_on:
            return NO_SPAN
        return self.begin(name, kind, limit, parent=_CURRENT.get())

    def root(self, name: str, kind: SpanKind = _INTERNAL, limit: Limit | None = None) -> AnySpan:
        """Return the root of a trace of its own, whatever is current."""
        return self.begin(name, kind, limit) if self.is_on else NO_SPAN

    def begin(
        self,
        name: str,
        kind: SpanKind = _INTERNAL,
        limit: Limit | None = None,
        *,
        parent: Span | None = None,
        start_ns: int = 0,
    ) -> Span:
        """Return a span that began now, or at a Unix time; only while tracing is on."""
        span_id = self._bits(64) or 1
        if parent is None:
            trace_id = self._bits(128) or 1
            is_wanted = trace_id & _LOW_BITS < self._bound
            parent_ids = None
        else:
            trace_id, is_wanted, parent_ids = parent.ids.trace_id, parent.is_wanted, parent.ids
        return Span(
            self,
            name,
            SpanIds(trace_id, span_id),
            parent,
            parent_ids,
            is_wanted,
            kind,
            limit,
            start_ns or time.time_ns(),
        )

    def after(self, name: str, ids: SpanIds, kind: SpanKind) -> Span:
        """Return a span that goes on with an exported one, perhaps of another process.

        Only while tracing is on.
        """
        own = SpanIds(ids.trace_id, self._bits(64) or 1)
        return Span(self, name, own, None, ids, True, kind, None, time.time_ns())

    def tell(self, span: Span, limit: Limit) -> None:
        """Trace and log what took longer than its limit, unless that has just happened often."""
        if not self._buckets[limit].take():
            self.slow_limited[limit] += 1
            return
        self.slow_traced[limit] += 1
        span.want()
        logger.bind(trace_id=span.ids.trace, span_id=span.ids.span).warning(
            "slow {}: {} took {:.3f} s, more than {:g} s; {}",
            limit.label,
            span.name,
            (span.end_ns - span.start_ns) / _NS_PER_S,
            limit.seconds,
            ", ".join(f"{name}={value}" for name, value in span.attributes.items()) or "-",
        )

    def export(self, span: Span) -> None:
        """Hand over a span that has ended."""
        assert self._outlet is not None
        self._outlet.take(span)
