"""Hurt a deployment at random: `python -m tests.adversity [--faults 1000] [--seed 1]`.

It prints the plan and every fault as it begins and ends to stderr, and one line of JSON to stdout;
it exits with 1 if anything was violated: what, is in its `violations`. A seed has one plan. With
`--drives` it does each of `drives.py` once instead, and tells how long that took.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from loguru import logger

from tests.adversity.deployment import CLUSTER, PAIR, deployed
from tests.adversity.drives import DRIVES
from tests.adversity.faults import draw_plan
from tests.adversity.run import Adversity, Plan

LEASE_S = 2.0
DRIVES_LEASE_S = 6.0
CALM_S = 3.0
LAYOUTS = {"cluster": CLUSTER, "pair": PAIR}


def main() -> int:
    """Run it once."""
    parser = argparse.ArgumentParser(prog="python -m tests.adversity", description=__doc__)
    parser.add_argument("--faults", type=int, default=1_000, help="how many (default 1000)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random (default 1)")
    parser.add_argument("--layout", choices=LAYOUTS, default="cluster", help="who runs")
    parser.add_argument("--drives", action="store_true", help="one of each, and how long it took")
    options = parser.parse_args()
    if options.faults < 1:
        parser.error("--faults must be above 0")
    logger.remove()
    summary, folder = asyncio.run(_run(options))
    print(json.dumps(summary))
    if summary["violations"]:
        print(f"what the processes have logged is in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


async def _run(options: argparse.Namespace) -> tuple[dict[str, object], Path]:
    layout = LAYOUTS[options.layout]
    folder = Path(tempfile.mkdtemp(prefix="tapewatch-adversity-"))
    if options.drives:
        return await _drive(folder, layout, options.seed), folder
    faults = draw_plan(options.seed, options.faults, layout, LEASE_S)
    for fault in faults:
        _tell(str(fault))
    async with deployed(folder, layout, lease_s=LEASE_S, seed=options.seed) as deployment:
        run = Adversity(Plan(options.seed, faults), deployment, _tell)
        return await run.run(), folder


async def _drive(folder: Path, layout: Mapping[str, str], seed: int) -> dict[str, object]:
    seconds: dict[str, float] = {}
    async with deployed(folder, layout, lease_s=DRIVES_LEASE_S, seed=seed) as deployment:
        run = Adversity(Plan(seed), deployment, _tell)
        async with run.loaded():
            await asyncio.sleep(CALM_S)
            for drive in DRIVES:
                seconds[drive.__name__] = round(await drive(deployment), 2)
                _tell(f"{drive.__name__}: traded again after {seconds[drive.__name__]:.2f} s")
                await asyncio.sleep(CALM_S)
        await run.finish()
        return {"traded_again_after_s": seconds} | run.summary()


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


sys.exit(main())
