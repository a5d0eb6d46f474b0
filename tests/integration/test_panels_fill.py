"""Every panel shows something when something happens, those too that are empty while all is well.

The catalogue's metrics themselves are made to move, all of them, and are scraped by Prometheus: of
two processes, for a query may be sound of one and ambiguous of several.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from alerts.monitor.prometheus import Prometheus
from telemetry import catalogue
from telemetry.catalogue import METRICS, Kind, Metric
from telemetry.metrics import Metrics
from tests.asked import Asked, panel_queries
from tests.monitoring import programs
from tests.support import free_port

INTERVAL_S = 1.0
SCRAPES = 4
PROCESSES = 2
POLL_S = 0.2
HOUR_S = 3600.0
# Of labels whose values are not known beforehand.
VALUES: Mapping[str, tuple[str, ...]] = {
    "symbol": ("EURUSD",),
    "loop": ("prices", "faults"),
    "shard": ("0", "1"),
    "db_operation_name": ("commit",),
    "http_request_method": ("GET",),
    "http_route": ("/api/v1/quotes", "unmatched"),
    "http_response_status_code": ("200", "401", "429", "500"),
}
# Unix times, and what others are compared with, are not 1.
AGES: Mapping[str, float] = {
    catalogue.LAST_QUOTE.name: 1.0,
    catalogue.FEED_LAST_MESSAGE.name: 1.0,
    catalogue.LOOP_LAST_SUCCESS.name: HOUR_S,
    catalogue.PROCESS_START.name: HOUR_S,
}
OTHERS = 'alertmanager_notifications_failed_total{{integration="webhook"}} {count}\n'

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Restless:
    """Metrics that all move between two scrapes."""

    def __init__(self) -> None:
        self._metrics = Metrics()
        self._scrapes = 0
        for metric in METRICS:
            for values in _label_values(metric):
                self._declare(metric, values)

    async def scrape(self, _: web.Request) -> web.Response:
        self._scrapes += 1
        for metric in METRICS:
            self._move(metric)
        return web.Response(
            text="".join(self._metrics.render()) + OTHERS.format(count=self._scrapes),
            content_type="text/plain",
        )

    def _declare(self, metric: Metric, values: tuple[str, ...]) -> None:
        match metric.kind:
            case Kind.COUNTER:
                self._metrics.counter(metric).declare(*values)
            case Kind.GAUGE:
                self._metrics.gauge(metric).declare(*values)
            case Kind.HISTOGRAM:
                self._metrics.histogram(metric).declare(*values)

    def _move(self, metric: Metric) -> None:
        match metric.kind:
            case Kind.COUNTER:
                for counter in self._metrics.counter(metric).children.values():
                    counter.add(2)
            case Kind.GAUGE:
                age_s = AGES.get(metric.name)
                for gauge in self._metrics.gauge(metric).children.values():
                    gauge.set(1 if age_s is None else time.time() - age_s)
            case Kind.HISTOGRAM:
                for histogram in self._metrics.histogram(metric).children.values():
                    for edge in metric.buckets:
                        histogram.observe(edge)


def _label_values(metric: Metric) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    for label in metric.labels:
        values = label.values or VALUES[label.name]
        found = [(*before, value) for before in found for value in values]
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prometheus(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prometheus]:
    runners = [await _serve(Restless()) for _ in range(PROCESSES)]
    addresses = [f"127.0.0.1:{runner.addresses[0][1]}" for runner in runners]
    folder: Path = tmp_path_factory.mktemp("restless")
    targets = {"tapewatch": addresses, "alertmanager": addresses[:1]}
    async with Prometheus(
        programs(), folder, port=free_port(), targets=targets, interval_s=INTERVAL_S
    ) as running:
        scraped = f"min(count_over_time(up[1m])) >= {SCRAPES} and count(up) == {PROCESSES + 2}"
        while not await running.query(scraped):  # noqa: ASYNC110 - a server has no event
            await asyncio.sleep(POLL_S)
        yield running
    for runner in runners:
        await runner.cleanup()


async def _serve(restless: Restless) -> web.AppRunner:
    application = web.Application()
    application.router.add_get("/metrics", restless.scrape)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


async def test_every_panel_shows_what_happens(prometheus: Prometheus) -> None:
    chosen = {"job": ".+", "instance": ".+"}
    macros = {"__rate_interval": "1m", "__range": "1m", **chosen}
    assert [
        each.where for each in panel_queries() if not await _shows(each, macros, prometheus)
    ] == []


async def test_every_rule_can_be_evaluated_of_several_processes(prometheus: Prometheus) -> None:
    rules: dict[str, str | None] = {}
    while "unknown" in rules.values() or not rules:
        answer = await prometheus.get("/api/v1/rules")
        found = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
        rules = {rule["name"]: rule.get("lastError", rule["health"]) for rule in found}
        await asyncio.sleep(POLL_S)
    assert {name: said for name, said in rules.items() if said != "ok"} == {}


async def _shows(asked: Asked, macros: Mapping[str, str], prometheus: Prometheus) -> bool:
    found = await prometheus.query(asked.with_macros(macros))
    return any(math.isfinite(float(each["value"][1])) for each in found)
