"""What each contender of the claims took and asked for, side by side."""

from collections.abc import Iterator

from tests.bench.figures import significant
from tests.bench.results import PartResults

NAMES = ("before", "report after", "product")
COUNTED = ("CPU", "CPU of servers", "sessions", "statements", "Redis round trips", "log lines")


def counted_table(run: PartResults) -> Iterator[str]:
    """Yield the lines of a table with a line for each row and contender, in Markdown."""
    figures = run.by_name()
    headings = ("work", "by", "ms", "CPU, ms", "CPU of servers, ms", *COUNTED[2:])
    yield f"| {' | '.join(headings)} |"
    yield f"|---|---|{'--:|' * (len(headings) - 2)}"
    rows = [
        name.removesuffix(f": {NAMES[0]}") for name in figures if name.endswith(f": {NAMES[0]}")
    ]
    for row in rows:
        for name in NAMES:
            at = f"{row}: {name}"
            wanted = (at, *(f"{at}: {what}" for what in COUNTED))
            if all(each in figures for each in wanted):
                values = (significant(figures[each].value, 3) for each in wanted)
                title = row if name == NAMES[0] else ""
                yield f"| {title} | {name} | {' | '.join(values)} |"
