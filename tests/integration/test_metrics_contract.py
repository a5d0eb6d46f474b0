"""What a running service exposes is what the catalogue declares, no more, no less, and bounded."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from itertools import product

import aiohttp
import pytest
from prometheus_client.metrics_core import Metric as MetricFamily
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text

from service.domain.order import OrderType
from service.instruments import Instruments
from telemetry.catalogue import METRICS, Kind, Metric
from telemetry.thresholds import SERIES_BUDGET
from tests.adversity.shard import open_small_book, trading_shard
from tests.monitoring import complaints
from tests.service_process import Service, environment

ACCOUNTS = 3000
ODD_PATHS = 2000
AT_ONCE = 50
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
_OF_HISTOGRAM = ("_bucket", "_count", "_sum")

Series = tuple[str, tuple[tuple[str, str], ...]]


class Running:
    """A service that is ready."""

    def __init__(self, service: Service, client: aiohttp.ClientSession) -> None:
        self.api = f"http://127.0.0.1:{service.environment['TAPEWATCH_PORT']}"
        self.ops = f"http://127.0.0.1:{service.environment['TAPEWATCH_OPS_PORT']}"
        self.client = client

    async def scrape(self, accept: str = "") -> str:
        async with self.client.get(f"{self.ops}/metrics", headers={"Accept": accept}) as answer:
            assert answer.status == 200
            return await answer.text()


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    service = Service(environment(folder / "data"), folder / "log")
    asyncio.run(service.ready())
    yield service
    asyncio.run(service.stop())


@pytest.fixture
async def running(process: Service) -> AsyncIterator[Running]:
    async with aiohttp.ClientSession() as client:
        yield Running(process, client)


def exposed(families: list[MetricFamily]) -> dict[str, list[dict[str, str]]]:
    """Return the labels of each metric's series; a histogram's are those of its buckets."""
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for family in families:
        for sample in family.samples:
            if family.type == "histogram":
                if sample.labels.get("le") == "+Inf":
                    labels = {name: text for name, text in sample.labels.items() if name != "le"}
                    found[family.name].append(labels)
            else:
                found[sample.name].append(sample.labels)
    return found


def series(text: str) -> set[Series]:
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in read_text(text)
        for sample in family.samples
    }


def is_closed(metric: Metric) -> bool:
    return all(label.values is not None for label in metric.labels)


def assert_as_declared(families: list[MetricFamily], without: Metric | None = None) -> None:
    """Check that what is exposed is what the catalogue declares, no more, no less."""
    found = exposed(families)
    declared = {metric.name: metric for metric in METRICS if metric is not without}
    assert found.keys() == declared.keys()
    for name, children in found.items():
        labels = declared[name].labels
        for child in children:
            assert child.keys() == {label.name for label in labels}, name
            for label in labels:
                assert label.values is None or child[label.name] in label.values, name


async def test_it_exposes_what_is_declared_with_those_labels(running: Running) -> None:
    families = list(read_text(await running.scrape()))
    assert_as_declared(families)
    declared = {metric.name: metric for metric in METRICS}
    buckets = {
        name: [
            float(sample.labels["le"])
            for family in families
            if family.name == name
            for sample in family.samples
            if sample.name == f"{name}_bucket"
        ]
        for name, metric in declared.items()
        if metric.kind is Kind.HISTOGRAM
    }
    for name, edges in buckets.items():
        assert set(edges) == {*declared[name].buckets, float("inf")}, name


def test_every_series_of_closed_labels_exists_before_anything_happens() -> None:
    found = exposed(list(read_text("".join(Instruments().metrics.render()))))
    for metric in filter(is_closed, METRICS):
        names = [label.name for label in metric.labels]
        values = (label.values or () for label in metric.labels)
        wanted = {tuple(sorted(zip(names, each, strict=True))) for each in product(*values)}
        assert {tuple(sorted(each.items())) for each in found[metric.name]} == wanted, metric.name


async def test_both_formats_pass_their_parsers_and_are_within_the_budget(running: Running) -> None:
    text, openmetrics = await running.scrape(), await running.scrape(OPENMETRICS)
    assert openmetrics.endswith("# EOF\n")
    parsed = list(read_openmetrics(openmetrics))  # type: ignore[no-untyped-call]
    assert {each.name for each in parsed} == {each.name for each in read_text(text)}
    assert 500 < len(series(text)) <= SERIES_BUDGET


async def test_promtool_has_no_complaint(running: Running) -> None:
    text = await running.scrape()
    assert await asyncio.to_thread(complaints, text) == ""


async def test_odd_paths_and_methods_add_no_series(running: Running) -> None:
    async def ask(number: int) -> None:
        paths = (f"/odd/{number}", f"/api/v1/orders/{number}", f'/api/v1/x{number}?y="{number}"')
        method = "GET" if number % 2 else f"ODD{number}"
        async with running.client.request(method, f"{running.api}{paths[number % 3]}") as answer:
            assert answer.status >= 400

    await asyncio.gather(*(ask(number) for number in range(6)))
    before = series(await running.scrape())
    for start in range(6, ODD_PATHS, AT_ONCE):
        await asyncio.gather(*(ask(number) for number in range(start, start + AT_ONCE)))
    after = series(await running.scrape())
    assert {name for name, _ in after - before} <= _of_loops_and_symbols()


async def test_thousands_of_accounts_and_orders_add_no_series(postgres_dsn: str) -> None:
    await open_small_book(postgres_dsn, ACCOUNTS)
    async with trading_shard(postgres_dsn) as shard:
        metrics = shard.instruments.metrics
        shard.quote(110_000)
        await shard.place(1, OrderType.BUY)
        before = series("".join(metrics.render()))
        for start in range(2, ACCOUNTS, AT_ONCE):
            accounts = range(start, min(start + AT_ONCE, ACCOUNTS))
            await asyncio.gather(
                *(shard.place(each, OrderType.BUY_LIMIT, 100_000) for each in accounts)
            )
        await shard.drained()
        assert len(shard.desk.orders) > ACCOUNTS - 10
        assert series("".join(metrics.render())) == before


def _of_loops_and_symbols() -> set[str]:
    """Return the series whose open label is bounded by what the service itself has."""
    return {
        f"{metric.name}{suffix}"
        for metric in METRICS
        if {label.name for label in metric.labels} & {"loop", "symbol"}
        for suffix in ("", *_OF_HISTOGRAM)
    }
