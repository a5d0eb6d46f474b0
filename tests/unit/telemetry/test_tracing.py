"""Spans reach a real collector, and one that is dead, hanging or slow harms nothing."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from opentelemetry.trace import SpanKind

from telemetry.otlp import OtlpProtocol
from telemetry.span_ids import SpanIds
from telemetry.spans import Tracing
from telemetry.tracing import CLOSE_TIMEOUT_S, QUEUE_LIMIT, Exports
from tests.otlp import Collector, attributes, grpc_collector, hanging_collector, http_collector
from tests.support import eventually, free_port

# A close that is not bounded takes a quarter of a minute with the queue full.
CLOSED_WITHIN_S = CLOSE_TIMEOUT_S + 3.0


def exports(endpoint: str, protocol: OtlpProtocol = OtlpProtocol.HTTP) -> Exports:
    return Exports(endpoint, protocol, name="tapewatch", version="1.2.3", instance="one")


def flood(tracing: Tracing, count: int) -> None:
    for number in range(count):
        with tracing.root("request") as span:
            span.note("number", number)


@pytest.mark.parametrize(
    ("protocol", "collector"),
    [(OtlpProtocol.GRPC, grpc_collector), (OtlpProtocol.HTTP, http_collector)],
)
async def test_spans_arrive_as_they_were(
    protocol: OtlpProtocol, collector: "type[AbstractAsyncContextManager[Collector]]"
) -> None:
    async with collector() as received:
        outlet = exports(received.endpoint, protocol)
        tracing = Tracing(outlet, 1.0)
        with tracing.span("request", SpanKind.SERVER) as request:
            request.note("http.response.status_code", 200)
            with tracing.span("query", SpanKind.CLIENT) as query:
                query.fail("TimeoutError")
        linked = tracing.begin("run")
        linked.links = [SpanIds(5, 6)]
        linked.end()
        await outlet.close()
    spans = {span.name: span for span in received.spans}
    parent, child = spans["request"], spans["query"]
    assert (child.trace_id, child.parent_span_id) == (parent.trace_id, parent.span_id)
    assert parent.parent_span_id == b""
    assert attributes(parent) == {"http.response.status_code": 200}
    assert (child.status.code, child.status.message) == (2, "TimeoutError")
    assert (parent.kind, child.kind) == (2, 3)
    assert parent.start_time_unix_nano <= child.start_time_unix_nano
    assert child.end_time_unix_nano <= parent.end_time_unix_nano
    assert [link.trace_id for link in spans["run"].links] == [(5).to_bytes(16)]
    assert (outlet.exported, outlet.failed, outlet.dropped) == (3, 0, 0)
    resource = received.resources[0]
    assert resource["service.name"] == "tapewatch"
    assert resource["service.version"] == "1.2.3"
    assert resource["service.instance.id"] == "one"


@asynccontextmanager
async def refusing_collector() -> AsyncIterator[str]:
    yield f"http://127.0.0.1:{free_port()}"


@asynccontextmanager
async def slow_collector() -> AsyncIterator[str]:
    async with http_collector(delay_s=1.0) as collector:
        yield collector.endpoint


@pytest.mark.parametrize("protocol", list(OtlpProtocol))
@pytest.mark.parametrize("collector", [refusing_collector, hanging_collector])
async def test_a_collector_that_takes_nothing_holds_up_no_shutdown(
    protocol: OtlpProtocol, collector: "type[AbstractAsyncContextManager[str]]"
) -> None:
    async with collector() as endpoint:
        outlet = exports(endpoint, protocol)
        flood(Tracing(outlet, 1.0), QUEUE_LIMIT + 500)
        assert outlet.waiting <= QUEUE_LIMIT
        assert outlet.dropped >= 500
        async with asyncio.timeout(CLOSED_WITHIN_S):
            await outlet.close()
    assert outlet.exported == 0
    assert outlet.failed + outlet.dropped >= QUEUE_LIMIT + 500


async def test_a_slow_collector_gets_what_it_takes_in_time_and_the_rest_is_counted() -> None:
    async with slow_collector() as endpoint:
        outlet = exports(endpoint)
        flood(Tracing(outlet, 1.0), QUEUE_LIMIT + 500)
        async with asyncio.timeout(CLOSED_WITHIN_S):
            await outlet.close()
        assert outlet.dropped >= 500
        assert outlet.exported + outlet.failed + outlet.dropped >= QUEUE_LIMIT + 500


async def test_what_failed_is_counted_while_it_runs() -> None:
    outlet = exports(f"http://127.0.0.1:{free_port()}")
    flood(Tracing(outlet, 1.0), 3)
    await eventually(lambda: outlet.failed == 3)
    assert outlet.waiting == 0
    await outlet.close()
    flood(Tracing(outlet, 1.0), 2)
    assert outlet.dropped == 2


async def test_closing_leaves_no_thread_that_holds_up_the_exit() -> None:
    async with hanging_collector() as endpoint:
        outlet = exports(endpoint, OtlpProtocol.GRPC)
        flood(Tracing(outlet, 1.0), 10)
        await outlet.close()
        assert all(
            thread.daemon or thread is threading.main_thread() for thread in threading.enumerate()
        )
