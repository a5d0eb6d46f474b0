"""A whole service whose collector takes nothing: it trades, says what it lost, and ends."""

import asyncio
import re
import urllib.request
from pathlib import Path

from tests.otlp import hanging_collector, http_collector
from tests.service_process import Service, environment
from tests.support import eventually


def text(service: Service) -> str:
    address = f"http://127.0.0.1:{service.environment['TAPEWATCH_OPS_PORT']}/metrics"
    with urllib.request.urlopen(address, timeout=10) as answer:
        return str(answer.read().decode())


def spans(metrics: str, outcome: str) -> int:
    found = re.search(rf'tapewatch_spans_total\{{outcome="{outcome}"\}} (\d+)', metrics)
    assert found is not None
    return int(found[1])


async def test_a_hanging_collector_costs_spans_alone(tmp_path: Path) -> None:
    async with hanging_collector() as endpoint:
        settings = environment(tmp_path / "data", TRACE_RATIO=1, FEED_RATE=500)
        settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
        service = Service(settings, tmp_path / "run.log")
        try:
            await service.ready()

            async def lost() -> str:
                metrics = ""
                while not metrics or spans(metrics, "failed") == 0:
                    await asyncio.sleep(0.2)
                    metrics = await asyncio.to_thread(text, service)
                return metrics

            async with asyncio.timeout(60):
                metrics = await lost()
            assert service.status("/readyz") == 200
            assert spans(metrics, "exported") == 0
            assert await service.stop() == 0
        finally:
            service.kill()
        assert "traces go to 127.0.0.1:" in service.log
        assert "by grpc: 100 % of all" in service.log


async def test_a_service_sends_its_spans_and_the_last_of_them_as_it_ends(tmp_path: Path) -> None:
    async with http_collector() as received:
        settings = environment(tmp_path / "data", TRACE_RATIO=1)
        settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = received.endpoint
        settings["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf"
        service = Service(settings, tmp_path / "run.log")
        try:
            await service.ready()
            await received.has("loop prices", "redis ")
            assert await service.stop() == 0
        finally:
            service.kill()
        await eventually(lambda: bool(received.resources))
        assert received.resources[0]["service.name"] == "tapewatch"
        assert ":" in received.resources[0]["service.instance.id"]
