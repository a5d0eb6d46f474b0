"""BENCHMARKS.md and its plots, from the results of one run that is kept, and from nothing else.

`python -m tests.bench.page` writes them anew from `benchmarks/run.json`, the paragraphs on speed in
README.md and deploy/SCALING.md; with `--check` it only tells whether they are up to date. What
people write about the figures, `FOUND.md`, `SPEED.md` and `SCALING.md` in `benchmarks/`, names them
(`tests.bench.references`).
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.bench import scaling
from tests.bench.acceptance import PART, claims_table, gains, limits_table, missing, rows_of
from tests.bench.checkout import ROOT
from tests.bench.counted import counted_table
from tests.bench.drawing import draw, draw_gains
from tests.bench.figures import doubt, number, wanted
from tests.bench.references import Faulty, fill
from tests.bench.report import Figure
from tests.bench.results import PartResults, Results, Unreadable, circumstances, read_results

PAGE, FOLDER, PLOTS = Path("BENCHMARKS.md"), Path("benchmarks"), Path("benchmarks/plots")
RUN, FOUND, SPEED = FOLDER / "run.json", FOLDER / "FOUND.md", FOLDER / "SPEED.md"
README, GAINS = Path("README.md"), PLOTS / "claims.svg"
SCALING, SCALED = FOLDER / "SCALING.md", Path("deploy/SCALING.md")
BEGIN, END = "<!-- speed: written by `make benchmarks` -->", "<!-- speed: end -->"
SHOWN = 30
"""More figures of a part than these are folded away."""
FIRST = ("end_to_end", "scales", "latency")


def files(root: Path) -> dict[Path, str]:
    """Return by path what the run of a checkout makes of its page, plots and README.

    Raises Unreadable or Faulty.
    """
    results = read_results(root / RUN)
    written = {PAGE: "\n".join(_page(root, results)) + "\n"}
    for part, run in results.parts.items():
        for plot in run.plots:
            written[_plot_path(part, plot.title)] = draw(plot)
    if drawn := gains(rows_of(results)):
        written[GAINS] = draw_gains("What was claimed, what came of it, and this service", drawn)
    readme = (root / README).read_text(encoding="utf-8")
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Faulty(f"{README} has no {BEGIN} with {END} after it")
    speed = fill((root / SPEED).read_text(encoding="utf-8"), results, root / FOLDER).strip()
    written[README] = f"{before}{begin}\n{speed}\n{end}{after}"
    template = (root / SCALING).read_text(encoding="utf-8")
    said = f"<!-- Written by `make benchmarks` from {RUN} and {SCALING}: change those. -->\n\n"
    written[SCALED] = said + scaling.page(
        template, results, lambda text: fill(text, results, root / FOLDER)
    )
    return written


def _page(root: Path, results: Results) -> Iterator[str]:
    yield f"""# Benchmarks

<!-- Written by `make benchmarks` from {RUN} and {FOUND}: change those. -->

Every figure here was measured by `make bench`, and every round is in [{RUN.name}]({RUN}). `make
bench` repeats it into `build/bench.json`, `make bench ARGS=claims` a part of it, and `make
bench-compare A={RUN} B=build/bench.json` lays the two beside each other.

What contends takes turns, each round another one first. A figure is the median of its rounds, ±
half the distance between their quartiles; a ratio is the median of pairs, each of one round, in
brackets the interval that holds it with a confidence of 95 % (bootstrap). What was missed is told
like what was met.

## The run
"""
    yield from _circumstances(results)
    yield """
## What the report claims, what its changes give, what this service does

*Before* are the loops as the performance report describes them, *its changes* the same loops with
exactly what the report proposes, *product* is this service: on the same PostgreSQL and Valkey with
the same book. All three trigger exactly the same orders. [How](tests/bench/claims.py)
"""
    rows = rows_of(results)
    yield from claims_table(rows)
    if gains(rows):
        yield f"\n![What the report claims, its changes give and this service does]({GAINS})"
        yield "\nWhat each of them took, and asked the stores for:\n"
        yield from counted_table(results.parts[PART])
    yield "\n## How flat, how near the limit, how fast end to end\n"
    yield from limits_table(results)
    yield "\n## What was found, and what it gave\n"
    yield fill((root / FOUND).read_text(encoding="utf-8"), results, root / FOLDER).strip()
    yield "\n## All that was measured"
    for part in sorted(results.parts, key=lambda name: name not in FIRST):
        yield from _part(part, results.parts[part])


def _circumstances(results: Results) -> Iterator[str]:
    groups = circumstances(results.parts)
    for group in groups:
        machine = group.machine
        minutes = sum(results.parts[part].took_s for part in group.parts) / 60
        versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
        if len(groups) > 1:
            yield f"Parts {', '.join(group.parts)}:\n"
        memory = f"{machine.memory_gb:g} GB of memory"
        yield f"- {machine.cpus} × {machine.processor}, {memory}, {machine.system}"
        yield f"- {versions}"
        yield f"- commit {group.checkout}"
        yield f"- begun {_minute(group.first_started)}, {minutes:.0f} minutes of measuring"
        yield "" if group is not groups[-1] else "- all on this machine: service, servers, clients"


def _part(name: str, run: PartResults) -> Iterator[str]:
    load = run.load_before[0]
    yield f"\n### {_heading(run.title)}\n"
    yield (
        f"`make bench ARGS={name}` ([how](tests/bench/{name}.py)): {_minute(run.started)}, "
        f"{run.took_s:.0f} s, load before it {load:g}.\n"
    )
    is_long = len(run.figures) > SHOWN
    if is_long:
        yield f"<details><summary>{len(run.figures)} figures</summary>\n"
    yield "| figure | median | | target | |"
    yield "|---|--:|---|---|---|"
    for figure in run.figures:
        yield _line(figure)
    if is_long:
        yield "\n</details>"
    for plot in run.plots:
        yield f"\n![{plot.title}]({_plot_path(name, plot.title)})"


def _line(figure: Figure) -> str:
    name = figure.name.strip().replace("|", "\\|")
    indent = "&emsp;" if figure.name.startswith(" ") else ""
    value = f"{number(figure)} {figure.unit}".replace(" x", "×").rstrip()
    cells = (indent + name, value, doubt(figure), wanted(figure), figure.verdict or "")
    return f"| {' | '.join(cells)} |"


def _heading(title: str) -> str:
    """Return a part's title without its letter and full stop."""
    return re.sub(r"^\(\w\) ", "", title).rstrip(".")


def _minute(iso: str) -> str:
    return f"{iso[:10]} {iso[11:16]} UTC"


def _plot_path(part: str, title: str) -> Path:
    return PLOTS / f"{part}-{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')}.svg"


def stale(root: Path, written: Mapping[Path, str]) -> list[Path]:
    """Return the files that are not there as they should be, and plots that should not be."""
    there = {path.relative_to(root) for path in (root / PLOTS).glob("*.svg")}
    differ = [path for path, text in written.items() if _text(root / path) != text]
    return sorted(differ + [path for path in there if path not in written])


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Write all, or with `--check` return 1 where something is not up to date."""
    try:
        written = files(root)
        for said in missing(read_results(root / RUN)):
            print(f"not on the page: {said}", file=sys.stderr)
    except (Unreadable, Faulty) as error:
        print(error, file=sys.stderr)
        return 2
    out_of_date = stale(root, written)
    if list(arguments) == ["--check"]:
        for path in out_of_date:
            print(f"{path} is not up to date with {RUN}: run make benchmarks", file=sys.stderr)
        return 1 if out_of_date else 0
    for path in out_of_date:
        if path in written:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(written[path], encoding="utf-8")
        else:
            (root / path).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
