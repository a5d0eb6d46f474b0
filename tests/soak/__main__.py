"""Run the soak: `python -m tests.soak [--minutes 10] [--seed 1]`.

It prints one line of JSON and exits with 1 if anything was wrong; what, is in its `faults`.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from loguru import logger

from tests.soak.run import Plan, Soak

PART_S = 60.0


def main() -> int:
    """Soak for some minutes of wall time."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of wall time (default 10)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random (default 1)")
    options = parser.parse_args()
    if options.minutes <= 0:
        parser.error("--minutes must be above 0")
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    plan = Plan(options.seed, options.minutes * 60, min(PART_S, options.minutes * 60))
    with tempfile.TemporaryDirectory(prefix="tapewatch-soak-") as folder:
        summary = asyncio.run(Soak(plan, Path(folder)).run())
    print(json.dumps(summary))
    return 1 if summary["faults"] else 0


sys.exit(main())
