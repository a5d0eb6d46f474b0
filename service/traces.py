"""Traces as the settings say: sent to a collector, or none."""

import os
import socket
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from urllib.parse import urlsplit

from aiohttp import web
from loguru import logger

from service.instruments import Instruments
from service.settings import Settings
from telemetry.otlp import OtlpProtocol
from telemetry.spans import Tracing
from telemetry.tracing import Exports

Lifetime = Callable[[web.Application], AsyncIterator[None]]
SERVICE_NAME = "tapewatch"


def traced_instruments(settings: Settings) -> tuple[Instruments, Lifetime]:
    """Return instruments that trace as the settings say, and the lifetime of what sends spans.

    That one must be the first to start, so that it is the last to end.
    """
    endpoint = settings.otlp_endpoint
    if endpoint is None:
        return Instruments(), _untraced
    exports = Exports(
        endpoint,
        OtlpProtocol(settings.otlp_protocol),
        name=SERVICE_NAME,
        version=version(SERVICE_NAME),
        instance=f"{socket.gethostname()}:{settings.ops_port}:{os.getpid()}",
    )
    instruments = Instruments(tracing=Tracing(exports, settings.trace_ratio))
    instruments.watch_spans(
        lambda: exports.exported, lambda: exports.failed, lambda: exports.dropped
    )

    async def sending(_: web.Application) -> AsyncIterator[None]:
        address = urlsplit(endpoint)  # without a password that may be in it
        logger.info(
            "traces go to {}:{} by {}: {:g} % of all, and what is slow",
            address.hostname,
            address.port,
            settings.otlp_protocol,
            settings.trace_ratio * 100,
        )
        yield
        await exports.close()

    return instruments, sending


async def _untraced(_: web.Application) -> AsyncIterator[None]:
    logger.info("nothing is traced: OTEL_EXPORTER_OTLP_ENDPOINT names no collector")
    yield
