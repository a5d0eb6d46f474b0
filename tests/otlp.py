"""Collectors: real ones for OTLP over gRPC and HTTP, and ones that do not do what they should."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support import eventually

HOST = "127.0.0.1"
EXPORT = "opentelemetry.proto.collector.trace.v1.TraceService"


class Collector:
    """What a collector was sent."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, str]] = []
        self.endpoint = ""

    def take(self, request: ExportTraceServiceRequest) -> None:
        for group in request.resource_spans:
            self.resources.append(
                {each.key: each.value.string_value for each in group.resource.attributes}
            )
            for scope in group.scope_spans:
                self.spans.extend(scope.spans)

    def named(self, start: str) -> list[Span]:
        return [span for span in self.spans if span.name.startswith(start)]

    def trace(self, trace_id: bytes) -> dict[str, Span]:
        """Return the spans of a trace by name."""
        return {span.name: span for span in self.spans if span.trace_id == trace_id}

    async def has(self, *starts: str) -> None:
        """Wait until spans with names that start so have arrived."""
        await eventually(lambda: all(self.named(start) for start in starts))


def attributes(span: Span) -> dict[str, Any]:
    """Return a span's attributes as plain values."""
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value")
        for each in span.attributes
    }


@asynccontextmanager
async def grpc_collector(delay_s: float = 0.0) -> AsyncIterator[Collector]:
    """Serve OTLP over gRPC on a free port, answering each request after a while."""
    collector = Collector()

    async def export(request: ExportTraceServiceRequest, _: object) -> ExportTraceServiceResponse:
        await asyncio.sleep(delay_s)
        collector.take(request)
        return ExportTraceServiceResponse()

    handler = grpc.unary_unary_rpc_method_handler(
        export,
        request_deserializer=ExportTraceServiceRequest.FromString,
        response_serializer=ExportTraceServiceResponse.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(EXPORT, {"Export": handler}),)
    )
    collector.endpoint = f"http://{HOST}:{server.add_insecure_port(f'{HOST}:0')}"
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(0)


@asynccontextmanager
async def http_collector(delay_s: float = 0.0) -> AsyncIterator[Collector]:
    """Serve OTLP over HTTP on a free port, answering each request after a while."""
    collector = Collector()

    async def export(request: web.Request) -> web.Response:
        body = await request.read()
        if body.startswith(b"\x1f\x8b"):
            body = gzip.decompress(body)
        await asyncio.sleep(delay_s)
        collector.take(ExportTraceServiceRequest.FromString(body))
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(),
            content_type="application/x-protobuf",
        )

    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/v1/traces", export)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        collector.endpoint = f"http://{HOST}:{runner.addresses[0][1]}"
        yield collector
    finally:
        await runner.cleanup()


@asynccontextmanager
async def hanging_collector() -> AsyncIterator[str]:
    """Accept connections and never answer; yield the address."""

    talking: set[asyncio.Task[object]] = set()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talking.add(task)
        try:
            with contextlib.suppress(ConnectionError):
                while await reader.read(1 << 16):
                    pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(hang, HOST, 0)
    try:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
