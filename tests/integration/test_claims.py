"""The benchmark of the report's claims, too small to show more than that its contenders agree."""

from pathlib import Path

from service.storage.embedded import EmbeddedPostgres
from tests.bench import claims
from tests.bench.claims_bursts import Bursts
from tests.bench.claims_contenders import Name, Servers
from tests.bench.claims_portfolios import Portfolios
from tests.bench.claims_sockets import Sockets
from tests.bench.report import Report

SIZES = claims.Sizes(
    Bursts(size=10, positions=20, rounds=1, warm_up=5),
    Sockets(sockets=2, orders=(50,), symbols=2, rounds=1),
    Sockets(sockets=1, orders=(10,), symbols=2, rounds=1),
    Portfolios(accounts=20, accounts_before=5, rounds=1),
)


async def test_all_contenders_do_all_of_the_work(
    postgres_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    report = Report()
    async with Servers.on(postgres_server, tmp_path) as servers:
        await claims.measure(servers, report, SIZES)
    judged_rows = ("pending burst", "SL/TP", "message, 2 sockets, 50 orders", "portfolio cycle")
    for row in (*judged_rows, "message, 1 socket, 10 orders"):
        for name in Name:
            assert len(report.rounds[f"{row}: {name}: ms"]) == 1
        asked = [report.rounds[f"{row}: {name}: Redis round trips"][0] for name in Name]
        assert asked == sorted(asked, reverse=True), f"{row}: before, after and product ask less"
    judged = [figure.name for figure in report.figures if figure.verdict is not None]
    in_cpu, savings = 1, 3
    assert len(judged) == 2 * (len(judged_rows) + in_cpu + savings)
