"""`make bench-compare A=file B=file`: lay two results files beside each other.

A figure differs if what its rounds say of it in A and in B does not overlap: the intervals of
ratios, of other figures the spread around the median. A figure of one round says nothing of its
noise, so of it only the numbers are told. Which of the two is better is for who reads to say:
machines, commits and days of both stand above the table.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.bench.figures import number, significant
from tests.bench.report import Figure
from tests.bench.results import PartResults, Results, Unreadable, circumstances, read_results
from tests.bench.text_table import text_table

HEADINGS = ("", "A", "B", "", "B / A", "", "target")
DIFFERS, NOISE, UNKNOWN = "differs", "within noise", "one round"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the comparison; 2 if a file cannot be read."""
    parser = argparse.ArgumentParser(prog="make bench-compare", description=__doc__)
    parser.add_argument("a", type=Path, metavar="A")
    parser.add_argument("b", type=Path, metavar="B")
    chosen = parser.parse_args(arguments)
    try:
        a, b = read_results(chosen.a), read_results(chosen.b)
    except Unreadable as error:
        print(error, file=sys.stderr)
        return 2
    for letter, path, results in (("A", chosen.a, a), ("B", chosen.b, b)):
        print(f"{letter}: {path}")
        print("\n".join(f"   {line}" for line in _origins(results)))
    print("\n".join(comparison(a, b)))
    return 0


def _origins(results: Results) -> Iterator[str]:
    groups = circumstances(results.parts)
    for group in groups:
        machine = group.machine
        days = sorted({group.first_started[:10], group.last_started[:10]})
        yield (
            f"{' to '.join(days)}, {group.checkout}, {machine.cpus} × {machine.processor}, "
            f"{machine.system}, {machine.versions.get('python', 'Python')}"
            f"{': ' + ', '.join(group.parts) if len(groups) > 1 else ''}"
        )


def comparison(a: Results, b: Results) -> Iterator[str]:
    """Yield the lines of the tables, a table a part, and what is missing in one of the two."""
    for part, run in a.parts.items():
        if part in b.parts:
            yield f"\n{run.title}"
            yield from _part(run, b.parts[part])
    for letter, only, other in (("A", a.parts, b.parts), ("B", b.parts, a.parts)):
        if names := _missing(only, other):
            yield f"\nonly in {letter}: {', '.join(names)}"


def _part(a: PartResults, b: PartResults) -> Iterator[str]:
    of_a, of_b = a.by_name(), b.by_name()
    shared = [name for name in of_a if name in of_b]
    if shared:
        rows = [HEADINGS, *(_row(name, of_a[name], of_b[name]) for name in shared)]
        yield text_table(rows, "<>><><<")
    for letter, only, other in (("A", of_a, of_b), ("B", of_b, of_a)):
        if names := _missing(only, other):
            yield f"  only in {letter}: {'; '.join(names)}"


def _missing(only: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    return [name for name in only if name not in other]


def _row(name: str, a: Figure, b: Figure) -> tuple[str, ...]:
    if a.unit != b.unit:
        return (name, f"{number(a)} {a.unit}", f"{number(b)} {b.unit}", "", "", "other unit", "")
    times = significant(b.value / a.value, 3) if a.value else ""
    return (name, number(a), number(b), a.unit, times, _judged(a, b), _targets(a, b))


def _judged(a: Figure, b: Figure) -> str:
    of_a, of_b = _bounds(a), _bounds(b)
    if of_a is None or of_b is None:
        return UNKNOWN if a.value != b.value else ""
    return DIFFERS if of_a[1] < of_b[0] or of_b[1] < of_a[0] else NOISE


def _bounds(figure: Figure) -> tuple[float, float] | None:
    if figure.interval is not None:
        return figure.interval
    if figure.spread is None:
        return None
    width = abs(figure.value) * abs(figure.spread)
    return figure.value - width, figure.value + width


def _targets(a: Figure, b: Figure) -> str:
    if a.verdict == b.verdict:
        return a.verdict or ""
    return f"{a.verdict or 'none'}, then {b.verdict or 'none'}"


if __name__ == "__main__":
    sys.exit(main())
