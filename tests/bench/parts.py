"""The parts of the benchmark, each run in a process of its own.

So none measures the memory or the garbage of another.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib import import_module
from multiprocessing import get_context
from types import MappingProxyType

from tests.bench.checkout import describe_checkout
from tests.bench.machine import describe_machine, load_average
from tests.bench.report import Report
from tests.bench.results import PartResults

PARTS = MappingProxyType(
    {
        "quiet_ticks": 1.0,
        "triggers": 1.0,
        "loading": 2.5,
        "fanout": 0.5,
        "portfolio_job": 1.5,
        "exposed_ticks": 2.0,
        "log_lines": 0.5,
        "metrics": 0.5,
        "overhead": 1.5,
        "collector": 1.5,
        "ingest": 1.0,
        "redis_cycle": 1.0,
        "claims": 7.0,
        "scales": 8.0,
        "latency": 4.0,
        "end_to_end": 5.5,
        "doors": 5.0,
        "engines": 5.5,
    }
)
"""The parts in their order, and about how many minutes each takes on two processors."""


def title_of(part: str) -> str:
    """Return the first line of a part's description."""
    return (import_module(f"tests.bench.{part}").__doc__ or part).partition("\n")[0]


def run_apart(part: str) -> PartResults:
    """Run a part in a fresh process; a part that fails raises what it failed with."""
    started, clock = datetime.now(UTC), time.monotonic()
    checkout, load = describe_checkout(), load_average()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        report = pool.submit(_run, part).result()
    return PartResults(
        title=title_of(part),
        started=started.isoformat(timespec="seconds"),
        took_s=round(time.monotonic() - clock, 1),
        checkout=checkout,
        machine=describe_machine(),
        load_before=load,
        figures=report.figures,
        plots=report.plots,
        rounds=report.rounds,
    )


def _run(part: str) -> Report:
    report = Report()
    import_module(f"tests.bench.{part}").run(report)
    return report
