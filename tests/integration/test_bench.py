"""Benchmarks over real sockets and processes, too short to show more than that they run."""

from tests.bench import collector, ingest, overhead
from tests.bench.collectors import collectors
from tests.bench.feed_turns import Turn
from tests.bench.quiet_logs import quiet_logs
from tests.bench.report import Report


async def test_overhead_compares_all_modes_on_the_same_decisions() -> None:
    report = Report()
    loads = (
        overhead.Load("mixed", Turn(100, triggering=0.1), 2, True),
        overhead.Load("together", Turn(100, together=10), 2, False),
    )
    with quiet_logs():
        await overhead.measure(report, loads)
    assert all(len(values) == 2 for name, values in report.rounds.items() if "quote" in name)
    judged = [figure.name for figure in report.figures if figure.verdict is not None]
    assert judged == ["mixed: metrics : off", "mixed: metrics and traces : off"]


async def test_ingest_compares_the_service_and_a_bare_loop_on_the_same_messages() -> None:
    report = Report()
    loads = (
        ingest.Load("alone", Turn(100), 2),
        ingest.Load("together", Turn(100, together=10), 2),
    )
    with quiet_logs():
        await ingest.measure(report, loads)
    assert all(len(values) == 2 for values in report.rounds.values())
    judged = [figure.name for figure in report.figures if figure.verdict is not None]
    assert judged == ["alone: service : bare", "together: service : bare"]


async def test_collectors_are_compared_and_every_span_is_counted() -> None:
    report = Report()
    async with collectors() as endpoints:
        ways = {collector.WORKS: endpoints.healthy, "refuses": endpoints.refused}
        await collector.measure_ticks(report, ways, Turn(200, triggering=0.1, per_s=2_000), 1)
    rounds = report.rounds
    assert rounds["works: exported"][0] > 0
    assert rounds["refuses: exported"] == [0]
    judged = {figure.name for figure in report.figures if figure.verdict is not None}
    assert "refuses: a tick's p99 : works" in judged
