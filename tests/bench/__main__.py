"""`make bench`: run the benchmarks, print what they found, keep it in build/bench.json.

Parts that are run take the place of their earlier runs in the file, with the machine, the commit
and the time of each; the others stay. A part that fails keeps its earlier run, and the others go
on.

Times are never asserted: every figure stands beside its target with "met" or "missed", a ratio with
the 95 % interval of the median of its pairs, another figure with half the distance between its
quartiles.
"""

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from tests.bench.figures import doubt, number
from tests.bench.parts import PARTS, run_apart, title_of
from tests.bench.report import Figure
from tests.bench.results import Unreadable, merge, read_results
from tests.bench.text_table import text_table

RESULTS = Path("build/bench.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that are named, or all, in their order; 1 if one failed."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    named = set(parser.parse_args(arguments).parts or PARTS)
    if unknown := named - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}: choose {', '.join(PARTS)}")
    if RESULTS.exists():
        try:
            read_results(RESULTS)
        except Unreadable as error:
            parser.error(str(error))
    chosen = [part for part in PARTS if part in named]
    failed = []
    for place, part in enumerate(chosen):
        minutes = sum(PARTS[each] for each in chosen[place:])
        left = f"{place + 1} of {len(chosen)}, about {PARTS[part]:g} of {minutes:g} minutes left"
        print(f"\n{title_of(part)}\n  {left}", flush=True)
        try:
            run = run_apart(part)
        except Exception:
            traceback.print_exc()
            failed.append(part)
            continue
        print(text_table([_row(figure) for figure in run.figures], "<><<<<"), flush=True)
        merge(RESULTS, part, run, PARTS)
    print(f"\nevery round is in {RESULTS}")
    if failed:
        print(f"failed, see above: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _row(figure: Figure) -> tuple[str, ...]:
    return (
        figure.name,
        number(figure),
        figure.unit,
        doubt(figure),
        figure.target or "",
        figure.verdict or "",
    )


if __name__ == "__main__":
    sys.exit(main())
