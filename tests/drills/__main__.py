"""`make drill`: run the drills, several side by side, and write what was seen.

Each drill has a universe of its own. Whatever fails is told in the end, with the service's log in
`build/drills`; the exit code is then 1.
"""

import argparse
import asyncio
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from alerts.monitor.binaries import find_programs
from tests.drills.catalogue import DRILLS, NOT_DRILLED
from tests.drills.drill import Drill, Outcome
from tests.drills.page import write_row
from tests.drills.rules import alert_rules
from tests.drills.running import run_drill
from tests.drills.soak import run_healthy
from tests.drills.universe import GROUP_INTERVAL_S, INTERVAL_S
from tests.monitoring import FOLDER

LOGS = Path("build/drills")
PER_PROCESSOR = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the drills that are chosen, or a healthy soak."""
    parser = argparse.ArgumentParser(prog="make drill ARGS=", description=__doc__)
    parser.add_argument("--only", action="append", metavar="ALERT", help="this drill; repeatable")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--at-once", type=int, default=PER_PROCESSOR * cores, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--healthy", type=float, metavar="MINUTES", help="only a soak, no fault")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.ERROR)  # migrations warn of what they do
    if options.healthy is not None:
        return asyncio.run(run_healthy(options.healthy * 60, options.seed))
    chosen = [each for each in DRILLS if options.only is None or each.alert in options.only]
    if unknown := set(options.only or ()) - {each.alert for each in DRILLS}:
        parser.error(f"there is no drill of {', '.join(sorted(unknown))}")
    outcomes = asyncio.run(_run(chosen, max(1, options.at_once), options.seed))
    failed = [outcome for outcome in outcomes if outcome.failures]
    print(f"\n{len(outcomes) - len(failed)} of {len(outcomes)} drills passed")
    return 1 if failed else 0


async def _run(drills: Sequence[Drill], at_once: int, seed: int) -> list[Outcome]:
    """Run drills, the longest first, `at_once` side by side."""
    gate = asyncio.Semaphore(at_once)
    programs = _versions()
    started = time.monotonic()

    async def run(number: int, drill: Drill) -> Outcome:
        async with gate:
            with tempfile.TemporaryDirectory(prefix="drill-", ignore_cleanup_errors=True) as folder:
                outcome = await run_drill(drill, Path(folder), seed + number)
        print(f"{time.monotonic() - started:6.0f} s  {_line(outcome)}", flush=True)
        write_row(
            outcome,
            NOT_DRILLED,
            interval_s=INTERVAL_S,
            group_interval_s=GROUP_INTERVAL_S,
            programs=programs,
        )
        if outcome.failures:
            LOGS.mkdir(parents=True, exist_ok=True)
            (LOGS / f"{drill.alert}.log").write_text(outcome.log, encoding="utf-8")
        return outcome

    longest_first = sorted(drills, key=lambda each: -_expected_s(each))
    return await asyncio.gather(*(run(*each) for each in enumerate(longest_first)))


def _expected_s(drill: Drill) -> float:
    """Return how long a drill takes, roughly."""
    rule = alert_rules()[drill.alert]
    steps = (drill.warm_s, drill.true_s, rule.for_s, drill.hold_s, drill.window_s)
    return sum(steps) + rule.keep_firing_for_s


def _line(outcome: Outcome) -> str:
    times = (
        ("true", outcome.true_s),
        ("fires", outcome.detect_s),
        ("told", outcome.tell_s),
        ("over", outcome.resolve_s),
    )
    steps = ", ".join(f"{name} {took:.0f} s" for name, took in times if took is not None)
    silenced = outcome.also_fired - outcome.also_told
    words = [f"{outcome.drill.alert}: {'FAILED' if outcome.failures else 'passed'}", steps]
    words += [f"told too: {', '.join(sorted(outcome.also_told))}"] if outcome.also_told else []
    words += [f"silenced: {', '.join(sorted(silenced))}"] if silenced else []
    return "; ".join([*words, *outcome.failures])


def _versions() -> str:
    programs = find_programs(FOLDER)
    said = [
        subprocess.run([program, "--version"], capture_output=True, text=True, cwd=programs.folder)
        for program in (programs.prometheus, programs.alertmanager)
    ]
    versions = [(each.stdout + each.stderr).split("version ")[1].split(" ")[0] for each in said]
    return f"Prometheus {versions[0].rstrip(',')} and Alertmanager {versions[1].rstrip(',')}"


if __name__ == "__main__":
    sys.exit(main())
