"""What was promised, row by row: by the performance report, and by this project.

A claim is read from the name of the figure that says what came of it, so that it has one place.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.bench.drawing import Gain
from tests.bench.figures import doubt, quantity, significant, wanted
from tests.bench.report import Figure
from tests.bench.results import Results

PART = "claims"
AT_RATE = "10,000 ticks/s"
NOT_MEASURED = "not measured"
_CLAIM = re.compile(r"\(the report claims ([\d.]+)-([\d.]+)")


class Claim(NamedTuple):
    """A row of the report: how the name of what came of it begins, and what this service does."""

    title: str
    gained: str
    over_before: str
    over_after: str


class Row(NamedTuple):
    """A row's figures, None where not measured, and between what the report's claim lies."""

    title: str
    claimed: tuple[float, float] | None
    gained: Figure | None
    over_before: Figure | None
    over_after: Figure | None


class Limit(NamedTuple):
    """A figure that was promised, and its part."""

    title: str
    part: str
    figure: str


def _faster(title: str, row: str, what: str = "") -> Claim:
    return Claim(
        title,
        f"{row}: before : report after{what} (",
        f"{row}: before : product{what}",
        f"{row}: report after : product{what}",
    )


def _fewer(what: str) -> Claim:
    return Claim(
        what,
        f"{what}: report after below before (",
        f"{what}: product below before",
        f"{what}: product below report after",
    )


CLAIMS = (
    _faster("message, 100 sockets, 1,000 resting orders", "message, 100 sockets, 1,000 orders"),
    _faster("message, 100 sockets, 10,000 resting orders", "message, 100 sockets, 10,000 orders"),
    _faster("message, 1 socket, 10 resting orders", "message, 1 socket, 10 orders"),
    _faster("pending orders, burst of 1,000", "pending burst"),
    _faster("SL/TP, 1,000 triggered among 10,000", "SL/TP"),
    _faster("portfolio cycle, 10,000 accounts: time", "portfolio cycle"),
    _faster("portfolio cycle, 10,000 accounts: CPU", "portfolio cycle", ", CPU"),
    Claim(
        "portfolio cycle, 10,000 accounts: time of the product's first",
        "portfolio cycle: before : report after (",
        "portfolio cycle: before : first portfolio cycle: product",
        "portfolio cycle: report after : first portfolio cycle: product",
    ),
    _fewer("statements per 1,000 ticks"),
    _fewer("Redis round trips per tick"),
    _fewer("Redis round trips per portfolio cycle"),
)
LIMITS = (
    Limit(
        "cost of a tick, 1 million : 1 thousand resting orders",
        "quiet_ticks",
        "cost of a tick, 1,000,000 : 1,000 orders",
    ),
    *(
        Limit(
            f"durable batch of {orders} fills : bare SQL",
            "triggers",
            f"{orders} orders: tick to commit : bare SQL",
        )
        for orders in ("100", "1,000", "10,000")
    ),
    Limit("socket fan-out : bare aiohttp loop", "fanout", "messages/s, gateway : bare"),
    Limit("Redis cycle : bare pipelines", "redis_cycle", "a cycle, job : redis-py"),
    *(
        Limit(f"socket ingest, {load} : bare loop", "ingest", f"{load}: service : bare")
        for load in ("one by one", "in bulk", "in bulk, ten quotes a message")
    ),
    Limit("end to end: highest rate", "end_to_end", "highest rate within the targets"),
    *(
        Limit(f"end to end at {AT_RATE}: {stage}, p99", "end_to_end", f"{AT_RATE}: {stage}, p99")
        for stage in ("tick to commit", "tick to quotes pushed", "tick to fill pushed")
    ),
)


def rows_of(results: Results) -> list[Row]:
    """Return the rows with what was measured of them."""
    run = results.parts.get(PART)
    figures = {} if run is None else run.by_name()
    rows = []
    for claim in CLAIMS:
        name = next((name for name in figures if name.startswith(claim.gained)), "")
        claimed = _CLAIM.search(name)
        rows.append(
            Row(
                claim.title,
                None if claimed is None else (float(claimed[1]), float(claimed[2])),
                figures.get(name),
                figures.get(claim.over_before),
                figures.get(claim.over_after),
            )
        )
    return rows


def missing(results: Results) -> Iterator[str]:
    """Yield what the tables lack although its part was run: a figure that has another name now."""
    for limit in LIMITS:
        if limit.part in results.parts and results.figure(limit.part, limit.figure) is None:
            yield f"part {limit.part} has no figure {limit.figure!r}"
    for row in rows_of(results) if PART in results.parts else ():
        if row.gained is None or row.over_before is None or row.over_after is None:
            yield f"part {PART} lacks figures of the row {row.title!r}"


def gains(rows: Sequence[Row]) -> list[Gain]:
    """Return the rows that say how many times faster, and were measured, to be drawn."""
    return [
        Gain(row.title, row.claimed, row.gained.value, row.over_before.value)
        for row in rows
        if row.claimed and row.gained and row.over_before and row.gained.unit == "x"
    ]


def claims_table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of the table of claims, in Markdown."""
    yield "| work | the report claims | its changes give | product over before | over its changes |"
    yield "|---|---|---|---|---|"
    for row in rows:
        cells = (row.title, *_kept(row), _judged(row.over_before), _judged(row.over_after))
        yield f"| {' | '.join(cells)} |"


def limits_table(results: Results) -> Iterator[str]:
    """Yield the lines of the table of limits, in Markdown."""
    yield "| what | measured | target | |"
    yield "|---|---|---|---|"
    for limit in LIMITS:
        figure = results.figure(limit.part, limit.figure)
        if figure is None:
            yield f"| {limit.title} | {NOT_MEASURED} | | |"
        else:
            said = f"{quantity(figure)} {doubt(figure)}".rstrip()
            yield f"| {limit.title} | {said} | {wanted(figure)} | {figure.verdict or ''} |"


def _kept(row: Row) -> tuple[str, str]:
    """Return what was claimed, and what came of it."""
    if row.gained is None or row.claimed is None:
        return "", NOT_MEASURED
    low, high = row.claimed
    fewer = row.gained.unit == "%"
    claimed = f"{low:g}-{high:g}{' % fewer' if fewer else '×'}"
    value = row.gained.value
    kept = "less" if value < low else "more" if value > high else "as claimed"
    gained = _fewer_said(value) if fewer else quantity(row.gained)
    return claimed, f"{gained}: {kept}"


def _judged(figure: Figure | None) -> str:
    if figure is None:
        return NOT_MEASURED
    said = _fewer_said(figure.value) if figure.unit == "%" else quantity(figure)
    if figure.verdict is None:
        return said
    return f"{said}, target {wanted(figure)}: **{figure.verdict}**"


def _fewer_said(percent: float) -> str:
    """Return so many per cent fewer, or more; close to all of them with the digits that count."""
    digits = 4 if percent > 99 else 3
    return f"{significant(abs(percent), digits)} % {'fewer' if percent >= 0 else 'more'}"
