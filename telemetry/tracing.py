"""Spans on their way out: OTLP over gRPC or HTTP, and a collector that harms nothing.

The SDK's `BatchSpanProcessor` sends from a thread of its own. At most `QUEUE_LIMIT` spans wait;
what is beyond that is dropped and counted, as is what a collector did not take within
`EXPORT_TIMEOUT_S`. `close` sends what waits, for at most `CLOSE_TIMEOUT_S`: what it leaves behind
runs in daemon threads, which hold up no exit.

Spans are handed to the processor as they ended, not by the SDK's tracer, which would have to know
at a span's start whether it is wanted.
"""

import asyncio
import threading
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

from telemetry.otlp import OtlpProtocol
from telemetry.span_ids import SpanIds
from telemetry.spans import MAX_LINKS, Span

QUEUE_LIMIT = 2_048
BATCH = 256
BATCH_DELAY_S = 1.0
EXPORT_TIMEOUT_S = 1.5
CLOSE_TIMEOUT_S = 1.8  # with what comes around it, the end of the service waits 2 s at most
TRACES_PATH = "/v1/traces"

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET = Status(StatusCode.UNSET)


class Exports:
    """An outlet that sends spans to a collector."""

    def __init__(
        self, endpoint: str, protocol: OtlpProtocol, *, name: str, version: str, instance: str
    ) -> None:
        """Take the collector's base address, and what identifies this process."""
        self._resource = Resource.create(
            {
                "service.name": name,
                "service.version": version,
                "service.instance.id": instance,
            }
        )
        self._scope = InstrumentationScope(name, version)
        self._counted = _Counted(_exporter(endpoint, protocol))
        self._processor = BatchSpanProcessor(
            self._counted,
            max_queue_size=QUEUE_LIMIT,
            max_export_batch_size=BATCH,
            schedule_delay_millis=BATCH_DELAY_S * 1000,
        )
        self._taken = 0
        self._dropped = 0
        self._is_closed = False

    @property
    def exported(self) -> int:
        """Spans a collector took."""
        return self._counted.exported

    @property
    def failed(self) -> int:
        """Spans that no collector took in time."""
        return self._counted.failed

    @property
    def dropped(self) -> int:
        """Spans that found the queue full, or were left when it closed."""
        return self._dropped

    @property
    def waiting(self) -> int:
        """Spans in the queue or on their way."""
        return self._taken - self._counted.exported - self._counted.failed

    def take(self, span: Span) -> None:
        """Send a span that has ended, soon."""
        if self._is_closed or self.waiting >= QUEUE_LIMIT:
            self._dropped += 1
            return
        self._taken += 1
        self._processor.on_end(
            ReadableSpan(
                span.name,
                context=_context(span.ids),
                parent=None if span.parent_ids is None else _context(span.parent_ids),
                resource=self._resource,
                attributes=span.attributes,
                links=[Link(_context(each)) for each in span.links[:MAX_LINKS]],
                kind=span.kind,
                status=_UNSET if span.error is None else Status(StatusCode.ERROR, span.error),
                start_time=span.start_ns,
                end_time=span.end_ns,
                instrumentation_scope=self._scope,
            )
        )

    async def close(self) -> None:
        """Send what waits, for at most `CLOSE_TIMEOUT_S`; what is left then is dropped."""
        if self._is_closed:
            return
        self._is_closed = True
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def shut_down() -> None:
            try:
                self._processor.shutdown()  # type: ignore[no-untyped-call]
            finally:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(done.set)

        # Not one of the loop's own threads: those are waited for when the loop ends.
        threading.Thread(target=shut_down, name="close-tracing", daemon=True).start()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await done.wait()
        except TimeoutError:
            self._counted.gives_up = True
        self._dropped += self.waiting


class _Counted(SpanExporter):
    """Counts what an exporter did; its numbers are written by the processor's thread alone."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.gives_up = False
        self.exported = 0
        self.failed = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            if not self.gives_up:
                result = self._exporter.export(spans)
        finally:
            if result is SpanExportResult.SUCCESS:
                self.exported += len(spans)
            else:
                self.failed += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _exporter(endpoint: str, protocol: OtlpProtocol) -> SpanExporter:
    if protocol is OtlpProtocol.GRPC:
        insecure = endpoint.startswith("http://")
        return GrpcExporter(endpoint=endpoint, insecure=insecure, timeout=EXPORT_TIMEOUT_S)
    return HttpExporter(endpoint=endpoint.rstrip("/") + TRACES_PATH, timeout=EXPORT_TIMEOUT_S)


def _context(ids: SpanIds) -> SpanContext:
    return SpanContext(ids.trace_id, ids.span_id, is_remote=False, trace_flags=_SAMPLED)
