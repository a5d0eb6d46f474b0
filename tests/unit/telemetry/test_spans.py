"""Which spans are exported, and how they hang together."""

import asyncio
from contextvars import Context
from random import Random

import pytest
from loguru import logger
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased
from opentelemetry.trace import SpanKind

from telemetry.limits import TOLD_AT_ONCE, Limit
from telemetry.span_ids import SpanIds, parse_traceparent
from telemetry.spans import Span, Tracing, current_span


class Box:
    """An outlet that keeps what it is handed."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def take(self, span: Span) -> None:
        self.spans.append(span)

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]


class HandClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def box() -> Box:
    return Box()


def slow(tracing: Tracing, name: str, limit: Limit = Limit.QUERY, by_ns: int = 1) -> Span:
    """Return a span that is about to end over its limit."""
    span = tracing.begin(name, limit=limit, parent=current_span())
    span.end(span.start_ns + limit.ns + by_ns)
    return span


def test_a_sampled_trace_is_exported_whole_with_its_parents(box: Box) -> None:
    tracing = Tracing(box, 1.0)
    with tracing.span("request", SpanKind.SERVER) as request, tracing.span("query") as query:
        query.note("rows", 3)
    assert box.names == ["query", "request"]
    child, parent = box.spans
    assert child.parent_ids == parent.ids
    assert parent.parent_ids is None
    assert child.attributes == {"rows": 3}
    assert parent.start_ns <= child.start_ns <= child.end_ns <= parent.end_ns
    assert request.trace == child.ids.trace == f"{parent.ids.trace_id:032x}"
    assert current_span() is None


def test_what_is_not_sampled_is_not_exported(box: Box) -> None:
    tracing = Tracing(box, 0.0)
    with tracing.span("request") as request, tracing.span("query"):
        pass
    assert box.spans == []
    assert request.trace is None


def test_the_ratio_is_that_of_the_sdks_sampler(box: Box) -> None:
    tracing, sampler = Tracing(box, 0.3, Random(1)), TraceIdRatioBased(0.3)
    for _ in range(500):
        span = tracing.begin("request")
        decision = sampler.should_sample(None, span.ids.trace_id, "request").decision
        assert span.is_wanted == (decision is Decision.RECORD_AND_SAMPLE)


def test_off_it_makes_nothing() -> None:
    tracing = Tracing()
    with tracing.span("request") as span:
        span.note("rows", 3)
        assert current_span() is None
    assert span.trace is None


def test_what_is_slow_is_exported_with_all_that_is_open_around_it(box: Box) -> None:
    tracing = Tracing(box, 0.0)
    with tracing.span("request"):
        with tracing.span("quick query"):
            pass
        query = slow(tracing, "slow query")
    assert box.names == ["slow query", "request"]
    assert query.trace == box.spans[1].ids.trace
    assert query.parent_ids == box.spans[1].ids
    assert tracing.slow_traced[Limit.QUERY] == 1


def test_what_takes_exactly_its_limit_is_not_slow(box: Box) -> None:
    slow(Tracing(box, 0.0), "query", by_ns=0)
    assert box.spans == []


def test_one_slow_thing_is_told_once_with_its_trace(box: Box) -> None:
    tracing = Tracing(box, 1.0)
    lines: list[str] = []
    sink = logger.add(lines.append, format="{extra[trace_id]} {extra[span_id]} {message}")
    try:
        outer = tracing.begin("read", limit=Limit.QUERY)
        inner = tracing.begin("statement", limit=Limit.QUERY, parent=outer)
        inner.note("db.query.summary", "SELECT orders")
        inner.end(inner.start_ns + Limit.QUERY.ns * 2)
        outer.end(outer.start_ns + Limit.QUERY.ns * 3)
    finally:
        logger.remove(sink)
    (line,) = lines
    assert line.startswith(f"{inner.ids.trace} {inner.ids.span} slow query: statement took 1.000 s")
    assert "db.query.summary=SELECT orders" in line
    assert box.names == ["statement", "read"]


def test_slow_things_are_traced_at_a_bounded_rate_for_each_kind(box: Box) -> None:
    clock = HandClock()
    tracing = Tracing(box, 0.0, clock=clock)
    for _ in range(int(TOLD_AT_ONCE) + 5):
        slow(tracing, "query")
    assert len(box.spans) == TOLD_AT_ONCE
    assert tracing.slow_limited[Limit.QUERY] == 5
    slow(tracing, "loop", Limit.LOOP)
    assert box.names[-1] == "loop"
    clock.now += 2.0
    for _ in range(3):
        slow(tracing, "later")
    assert box.names[-2:] == ["later", "later"]


def test_an_exception_is_told_by_its_type_alone(box: Box) -> None:
    tracing = Tracing(box, 1.0)
    with pytest.raises(ValueError, match="secret"), tracing.span("request"):
        raise ValueError("secret")
    assert box.spans[0].error == "ValueError"


async def test_tasks_are_children_of_where_they_began_unless_their_context_is_empty(
    box: Box,
) -> None:
    tracing = Tracing(box, 1.0)

    async def work(name: str) -> None:
        with tracing.span(name):
            await asyncio.sleep(0)

    with tracing.span("request") as request:
        child = asyncio.create_task(work("child"))
        loop = asyncio.create_task(work("loop"), context=Context())
    await asyncio.gather(child, loop)
    assert isinstance(request, Span)
    parents = {span.name: span.parent_ids for span in box.spans}
    assert parents == {"request": None, "child": request.ids, "loop": None}


def test_a_root_is_nobodys_child(box: Box) -> None:
    tracing = Tracing(box, 1.0)
    with tracing.span("request") as request, tracing.root("run") as run:
        pass
    assert isinstance(request, Span)
    assert isinstance(run, Span)
    assert run.parent_ids is None
    assert run.ids.trace_id != request.ids.trace_id


def test_a_trace_goes_on_in_another_process(box: Box) -> None:
    here, there = Tracing(box, 1.0), Tracing(box, 0.0)
    with here.span("commit") as commit:
        pass
    assert isinstance(commit, Span)
    carried = parse_traceparent(commit.ids.traceparent)
    assert carried is not None
    assert carried == commit.ids
    with there.after("push", carried, SpanKind.CONSUMER):
        pass
    assert box.spans[1].ids.trace_id == commit.ids.trace_id
    assert box.spans[1].parent_ids == commit.ids


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00-1-2-01",
        f"00-{'0' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'0' * 16}-01",
        f"00-{'1' * 32}-{'1' * 16}-00",
        f"00-{'x' * 32}-{'1' * 16}-01",
    ],
)
def test_what_is_no_traceparent_of_a_sampled_span_is_none(text: str) -> None:
    assert parse_traceparent(text) is None


def test_ids_are_written_as_trace_stores_do() -> None:
    ids = SpanIds(1, 2)
    assert (ids.trace, ids.span) == ("0" * 31 + "1", "0" * 15 + "2")
