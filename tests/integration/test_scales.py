"""The benchmarks of scales and of bare Redis, too small to show more than that they run."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.storage.embedded import EmbeddedPostgres
from tests.bench import latency, redis_cycle, scales
from tests.bench.claims_contenders import Name, Servers
from tests.bench.claims_portfolios import PORTFOLIO, Portfolios, measure_portfolios
from tests.bench.claims_sockets import Messages
from tests.bench.report import Report


@pytest.fixture
async def bench_servers(
    postgres_server: EmbeddedPostgres, tmp_path: Path
) -> AsyncIterator[Servers]:
    async with Servers.on(postgres_server, tmp_path) as servers:
        yield servers


async def test_a_scale_names_who_is_left_out(bench_servers: Servers) -> None:
    report = Report()
    alone = Messages(sockets=2, symbols=2, rounds=1, names=(Name.PRODUCT,))
    book = scales.Book(10, (Messages(sockets=1, symbols=2, rounds=1), alone))
    await scales.measure_scales(bench_servers, report, scales.Sizes((book,), ()))
    figures = {figure.name for figure in report.figures}
    assert "1 socket, 2 symbols, 10 orders: report after : product" in figures
    left_out = "before and report after not measured: above 30 s"
    assert f"2 sockets, 2 symbols, 10 orders: product ({left_out})" in figures


async def test_latency_is_added_to_what_every_contender_asks(bench_servers: Servers) -> None:
    report = Report()
    sizes = Portfolios(accounts=10, accounts_before=2, rounds=1)
    row = latency.Rows(
        (PORTFOLIO,), lambda servers, report: measure_portfolios(servers, report, sizes)
    )
    await latency.measure_latencies(bench_servers, report, (1.0,), (row,))
    for name in Name:
        (milliseconds,) = report.rounds[f"1 ms added: {PORTFOLIO}: {name}: ms"]
        assert milliseconds > 1
    for store in latency.STORES:
        through = report.rounds[f"1 ms added: {store}, a round trip through the proxies, ms"]
        assert min(through) >= 1


async def test_bare_clients_ask_redis_what_the_job_asks(bench_servers: Servers) -> None:
    report = Report()
    await redis_cycle.measure_cycles(bench_servers, report, accounts=30, rounds=1)
    assert all(len(values) == 1 for values in report.rounds.values())
    judged = [figure.name for figure in report.figures if figure.verdict is not None]
    assert judged == ["a cycle, job : redis-py"]
