"""Traces of a gateway on real parts, as a real collector receives them."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest
from loguru import logger
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from service.domain.quote import Quote
from service.instruments import Instruments
from service.storage import events
from service.storage.envelope import unwrap
from telemetry import catalogue
from telemetry.exposition import Format
from telemetry.otlp import OtlpProtocol
from telemetry.span_ids import SpanIds
from telemetry.spans import Tracing
from telemetry.thresholds import DATABASE_QUERY_LIMIT_S, TICK_PROCESSING_LIMIT_S
from telemetry.tracing import Exports
from tests.faultproxy import FaultProxy
from tests.integration.test_gateway import LIMIT, TRADER, Client, bearer, next_of, serve, set_up
from tests.otlp import Collector, attributes, grpc_collector, hanging_collector, http_collector
from tests.support import eventually

Open = Callable[[], AbstractAsyncContextManager[Collector]]


@asynccontextmanager
async def traced(
    dsn: str,
    redis_url: str,
    endpoint: str,
    ratio: float,
    protocol: OtlpProtocol = OtlpProtocol.HTTP,
) -> AsyncIterator[tuple[Client, Instruments]]:
    """Serve a gateway, set up, whose spans go to a collector."""
    exports = Exports(endpoint, protocol, name="tapewatch", version="0", instance="test")
    tracing = Tracing(exports, ratio)
    instruments = Instruments(tracing=tracing)
    instruments.watch_spans(
        lambda: exports.exported, lambda: exports.failed, lambda: exports.dropped
    )
    try:
        async with serve(dsn, redis_url, instruments) as client:
            await set_up(client)
            yield client, instruments
    finally:
        await exports.close()


def path(spans: dict[str, Span], name: str) -> list[str]:
    """Return the names from a span up to the root of its trace."""
    by_id = {span.span_id: span for span in spans.values()}
    found = [name]
    span = spans[name]
    while span.parent_span_id:
        span = by_id[span.parent_span_id]
        found.append(span.name)
    return found


def changes(span: Span) -> bool:
    """Whether this is the statement of a commit."""
    return span.name.startswith("UPDATE shard_leases")


@pytest.mark.parametrize(
    ("protocol", "collector"),
    [(OtlpProtocol.GRPC, grpc_collector), (OtlpProtocol.HTTP, http_collector)],
)
async def test_an_orders_journey_is_one_trace(
    postgres_dsn: str, redis_url: str, protocol: OtlpProtocol, collector: Open
) -> None:
    async with (
        collector() as received,
        traced(postgres_dsn, redis_url, received.endpoint, 1.0, protocol) as (
            client,
            instruments,
        ),
        client.session.ws_connect("/api/v1/stream", headers=bearer(TRADER)) as socket,
    ):
        await next_of(socket, "snapshot")
        await client.call("POST", "/orders", LIMIT | {"client_order_id": "mine"})
        placed = await next_of(socket, "order")
        client.quote(107_980, 107_990)
        opened = await next_of(socket, "order")
        await received.has("POST /api/v1/orders", "tick")

        def journey(root: str) -> dict[str, Span]:
            return received.trace(received.named(root)[0].trace_id)

        whole = {"push event", "redis apply_events", "commit"}
        for root in ("POST /api/v1/orders", "tick"):
            await eventually(lambda: whole <= journey(root).keys())  # noqa: B023
        metrics = "".join(instruments.metrics.render(Format.OPENMETRICS))
    assert (placed["kind"], opened["kind"]) == ("PLACED", "OPENED")
    assert "traceparent" not in placed.keys() | opened.keys()
    for root in ("POST /api/v1/orders", "tick"):
        spans = journey(root)
        assert path(spans, "push event") == ["push event", "publish event", "commit", root]
        assert path(spans, "redis apply_events")[:2] == ["redis apply_events", "publish event"]
        (statement,) = [span for span in spans.values() if changes(span)]
        assert path(spans, statement.name) == [statement.name, "commit", root]
        commit, origin = spans["commit"], spans[root]
        assert origin.start_time_unix_nano <= commit.start_time_unix_nano
        assert commit.start_time_unix_nano <= statement.start_time_unix_nano
        assert statement.end_time_unix_nano <= commit.end_time_unix_nano
        assert attributes(commit)["decisions"] == 1
        text = attributes(statement)["db.query.text"]
        assert text.startswith("WITH fence AS")
        assert "mine" not in text
    for root, measured in (
        ("POST /api/v1/orders", 'tapewatch_command_seconds_bucket{command="place"'),
        ("tick", "tapewatch_tick_to_trigger_seconds_bucket"),
        ("tick", "tapewatch_tick_to_commit_seconds_bucket"),
    ):
        trace = received.named(root)[0].trace_id.hex()
        assert re.search(re.escape(measured) + f'.* # {{trace_id="{trace}"}}', metrics), measured
    request = journey("POST /api/v1/orders")
    assert path(request, "database answer") == ["database answer", "POST /api/v1/orders"]
    assert attributes(request["POST /api/v1/orders"]) == {
        "http.request.method": "POST",
        "http.route": "/api/v1/orders",
        "http.response.status_code": 201,
    }
    # What repeats by itself is nobody's child.
    assert all(span.parent_span_id == b"" for span in received.named("loop "))


async def test_an_event_that_redis_did_not_take_stays_in_its_trace(
    postgres_dsn: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "POLL_S", 0.1)
    to = urlsplit(redis_url)
    async with http_collector() as received, FaultProxy(str(to.hostname), to.port or 0) as redis:
        url = redis_url.replace(f":{to.port}", f":{redis.port}")
        async with (
            traced(postgres_dsn, url, received.endpoint, 1.0) as (client, _),
            client.session.ws_connect("/api/v1/stream", headers=bearer(TRADER)) as socket,
        ):
            await next_of(socket, "snapshot")
            await redis.cut()
            await client.call("POST", "/orders", LIMIT)
            await next_of(socket, "order")
            root = "POST /api/v1/orders"
            await received.has(root)
            trace_id = received.named(root)[0].trace_id
            await eventually(lambda: "push event" in received.trace(trace_id))
            polled = received.trace(trace_id)

            def published() -> list[Span]:
                return [s for s in received.named("publish event") if s.trace_id == trace_id]

            await redis.restore()
            await eventually(lambda: len(published()) > 1)
    assert path(polled, "push event") == ["push event", root]
    # As it was committed, in vain, and then from the outbox, until Redis takes it.
    first, *again = [each.parent_span_id for each in published()]
    assert first == polled["commit"].span_id
    assert set(again) == {polled[root].span_id}


async def test_the_lease_and_loading_are_traces_of_their_own(
    postgres_dsn: str, redis_url: str
) -> None:
    async with (
        http_collector() as received,
        traced(postgres_dsn, redis_url, received.endpoint, 1.0) as (_, instruments),
    ):
        await received.has("database load", "database lease", "database connect", "SELECT orders")
        asked = instruments.metrics.histogram(catalogue.STORE_OPERATION)
        assert all(
            asked.child("postgresql", name).count
            for name in ("load", "lease", "connect", "settings")
        )
    (page, *_) = received.named("SELECT orders")
    book = received.trace(page.trace_id)
    for name in ("SELECT symbols", "SELECT accounts", "SELECT orders"):
        assert path(book, name) == [name, "database load"]
    (acquired, *_) = received.named("database lease")
    assert "UPDATE shard_leases" in received.trace(acquired.trace_id)
    settings = received.named("database settings")[0]
    assert "INSERT symbols" in received.trace(settings.trace_id)


async def test_a_query_that_something_else_holds_up_is_traced_measured_and_logged(
    postgres_dsn: str, redis_url: str
) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message} {extra}", level="WARNING")
    try:
        async with (
            http_collector() as received,
            traced(postgres_dsn, redis_url, received.endpoint, 0.0) as (client, instruments),
        ):
            other = await asyncpg.connect(postgres_dsn)
            await other.execute("BEGIN; LOCK TABLE deals IN ACCESS EXCLUSIVE MODE")
            asked = asyncio.create_task(client.call("GET", "/account/deals"))
            await asyncio.sleep(DATABASE_QUERY_LIMIT_S + 0.2)
            await other.execute("ROLLBACK")
            await other.close()
            status, _ = await asked
            assert status == 200
            metrics = "".join(instruments.metrics.render(Format.OPENMETRICS))
            await received.has("GET /api/v1/account/deals")
    finally:
        logger.remove(sink)
    # From the bucket to the trace, and to the line.
    bucket = re.search(
        r'^db_client_operation_duration_seconds_bucket\{.*db_operation_name="deals".*'
        r'# \{trace_id="(\w{32})"\} ([\d.]+)',
        metrics,
        re.MULTILINE,
    )
    assert bucket is not None
    assert float(bucket[2]) > DATABASE_QUERY_LIMIT_S
    spans = received.trace(bytes.fromhex(bucket[1]))
    root = "GET /api/v1/account/deals"
    assert path(spans, "SELECT deals") == ["SELECT deals", "database deals", root]
    assert len(received.spans) == 3  # nothing else was worth it
    query = spans["SELECT deals"]
    lasted_s = (query.end_time_unix_nano - query.start_time_unix_nano) / 1e9
    assert DATABASE_QUERY_LIMIT_S < lasted_s <= float(bucket[2])
    assert str(TRADER) not in attributes(query)["db.query.text"]
    told = [line for line in lines if bucket[1] in line]
    assert len(told) == 1
    assert told[0].startswith("slow query: SELECT deals took")
    assert 'tapewatch_slow_total{kind="query",outcome="traced"} 1' in metrics


async def test_a_hanging_collector_holds_up_no_order(postgres_dsn: str, redis_url: str) -> None:
    async with hanging_collector() as endpoint:
        async with traced(postgres_dsn, redis_url, endpoint, 1.0) as (client, instruments):
            for number in range(30):
                order = LIMIT | {"client_order_id": f"order-{number}"}
                status, _ = await client.call("POST", "/orders", order)
                assert status == 201
            client.quote(107_980, 107_990)
            async with asyncio.timeout(30):
                orders: list[object] = []
                while len(orders) < 30:
                    _, answer = await client.call("GET", "/orders?status=open")
                    orders = answer["orders"]
        text = "".join(instruments.metrics.render())
    lost = re.findall(r'tapewatch_spans_total\{outcome="(?:failed|dropped)"\} (\d+)', text)
    assert sum(map(int, lost)) > 60
    assert 'tapewatch_spans_total{outcome="exported"} 0' in text


def test_what_is_published_of_a_traced_event_is_told_apart_from_it() -> None:
    ids = SpanIds(1, 2)
    assert unwrap(b'{"account_id":1}') == (b'{"account_id":1}', None)
    assert unwrap(ids.traceparent.encode() + b'{"account_id":1}') == (b'{"account_id":1}', ids)


async def test_a_slow_tick_is_traced_though_it_decides_nothing(
    postgres_dsn: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        http_collector() as received,
        traced(postgres_dsn, redis_url, received.endpoint, 0.0) as (client, _),
    ):
        engine = client.trading.engine
        on_quote = engine.on_quote

        def held_up(quote: Quote, now: int) -> object:
            time.sleep(2 * TICK_PROCESSING_LIMIT_S)
            return on_quote(quote, now)

        client.quote(108_480, 108_490)
        monkeypatch.setattr(engine, "on_quote", held_up)
        client.quote(108_481, 108_491)
        await received.has("tick")
    (tick,) = [span for span in received.named("tick") if span.parent_span_id == b""]
    assert attributes(tick) == {"decisions": 0}
    lasted_ns = tick.end_time_unix_nano - tick.start_time_unix_nano
    assert lasted_ns >= 2 * TICK_PROCESSING_LIMIT_S * 1e9
