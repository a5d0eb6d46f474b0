"""`make bench`: run the benchmarks, print what they found, keep it in build/bench.json.

Times are never asserted: every figure stands beside its target with "met" or "missed", a ratio with
the 95 % interval of the median of its pairs, another figure with half the distance between its
quartiles. The raw rounds, the machine and the versions go to the file.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tests.bench.machine import describe_machine
from tests.bench.parts import PARTS, run_apart, title_of
from tests.bench.report import Figure

RESULTS = Path("build/bench.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that are named, or all, in their order."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    chosen = parser.parse_args(arguments).parts or PARTS
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}: choose {', '.join(PARTS)}")
    results: dict[str, object] = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
    }
    parts: dict[str, object] = {}
    results["parts"] = parts
    for name in PARTS:
        if name not in chosen:
            continue
        print(f"\n{title_of(name)}", flush=True)
        report = run_apart(name)
        print(_table(report.figures), flush=True)
        parts[name] = {
            "title": title_of(name),
            "figures": [msgspec.to_builtins(figure) for figure in report.figures],
            "rounds": report.rounds,
            "plots": [msgspec.to_builtins(plot) for plot in report.plots],
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"\nevery round is in {RESULTS}")
    return 0


def _table(figures: Sequence[Figure]) -> str:
    rows = [
        (
            figure.name,
            _number(figure.value) if figure.interval is None else f"{figure.value:.4g}",
            figure.unit,
            _doubt(figure),
            figure.target or "",
            figure.verdict or "",
        )
        for figure in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        f"  {row[0]:<{widths[0]}}  {row[1]:>{widths[1]}} {row[2]:<{widths[2]}}  "
        f"{row[3]:<{widths[3]}}  {row[4]:<{widths[4]}}  {row[5]}".rstrip()
        for row in rows
    )


def _doubt(figure: Figure) -> str:
    if figure.interval is not None:
        low, high = figure.interval
        return f"[{low:.4g}, {high:.4g}]"
    return "" if figure.spread is None else f"± {figure.spread:.0%}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
