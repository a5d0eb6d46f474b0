"""The parts of the benchmark, each run in a process of its own.

So none measures the memory or the garbage of another.
"""

from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context

from tests.bench.report import Report

PARTS = (
    "quiet_ticks",
    "triggers",
    "loading",
    "fanout",
    "portfolio_job",
    "exposed_ticks",
    "log_lines",
    "metrics",
    "overhead",
    "collector",
    "claims",
)


def title_of(part: str) -> str:
    """Return the first line of a part's description."""
    return (import_module(f"tests.bench.{part}").__doc__ or part).partition("\n")[0]


def run_apart(part: str) -> Report:
    """Run a part in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_run, part).result()


def _run(part: str) -> Report:
    report = Report()
    import_module(f"tests.bench.{part}").run(report)
    return report
