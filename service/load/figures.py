"""What a load has found: of an interval, or of the whole time, for machines and for people."""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

import msgspec

from service.load.latencies import LatencyView
from service.load.stages import QUOTE_AGE, TICK_TO_COMMIT, Scrape, StageView
from service.load.tally import Tally
from service.load.traders import OK
from telemetry import catalogue

ANSWERED, QUOTES_PUSHED = "command to answer", "tick to quotes pushed"
FILLS_PUSHED, EVENTS_PUSHED = "tick to fill pushed", "command to event pushed"
TICK_LAG, COMMAND_LAG = "generator: lag of ticks", "generator: lag of commands"
HEADINGS = (
    *("SECONDS", "TICKS/S", "COMMANDS/S", "REFUSED", "ANSWER", "QUOTES", "FILL"),
    *("COMMIT", "QUOTE AGE", "LAG"),
)
_COLUMN = 10
_NAME = 30


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of `seconds`; latencies in milliseconds.

    Attributes:
        kind: of one interval, or of all.
        started: Unix time, seconds.
        ticks, ticks_held_back, ticks_late, dips, fired, commands, commands_held_back,
            commands_late, answers, messages: as of `Tally`.
        latencies: as the generator saw them, by what they are.
        service: as the service measured them, by stage.
        quotes_taken, quotes_refused: that reached the service's engine, and that its guards
            refused.
        sockets, lost: sockets open at the end, and those that ended, by why.
        service_cpu, generator_cpu: cores that the two processes took.
    """

    kind: Literal["interval", "total"]
    started: float
    seconds: float
    ticks: int
    ticks_held_back: int
    ticks_late: int
    dips: int
    fired: int
    commands: int
    commands_held_back: int
    commands_late: int
    answers: dict[str, int]
    messages: dict[str, int]
    latencies: dict[str, LatencyView]
    service: dict[str, StageView]
    quotes_taken: int
    quotes_refused: int
    sockets: int
    lost: dict[str, int]
    service_cpu: float
    generator_cpu: float

    @property
    def refused(self) -> int:
        """Commands that were not answered with success."""
        return sum(count for answer, count in self.answers.items() if answer != OK)


class Look(NamedTuple):
    """A look at both processes: the service's metrics, the generator's CPU time and the time, s."""

    scrape: Scrape
    cpu_s: float
    time: float


def figures_of(
    kind: Literal["interval", "total"],
    tally: Tally,
    before: Look,
    after: Look,
    sockets: int,
    lost: Mapping[str, int],
) -> Figures:
    """Draw the figures of the time between two looks."""
    seconds = after.time - before.time
    scrape = after.scrape
    latencies = {
        ANSWERED: tally.answered,
        QUOTES_PUSHED: tally.quotes,
        FILLS_PUSHED: tally.fills,
        EVENTS_PUSHED: tally.events,
        TICK_LAG: tally.tick_lag,
        COMMAND_LAG: tally.command_lag,
    }
    return Figures(
        kind=kind,
        started=before.time,
        seconds=seconds,
        ticks=tally.ticks,
        ticks_held_back=tally.ticks_held_back,
        ticks_late=tally.ticks_late,
        dips=tally.dips,
        fired=tally.fired,
        commands=tally.commands,
        commands_held_back=tally.commands_held_back,
        commands_late=tally.commands_late,
        answers=dict(tally.answers.most_common()),
        messages=dict(tally.messages.most_common()),
        latencies={name: each.view() for name, each in latencies.items()},
        service=scrape.since(before.scrape),
        quotes_taken=int(scrape.counted(catalogue.QUOTES, before.scrape)),
        quotes_refused=int(scrape.counted(catalogue.QUOTES_REFUSED, before.scrape)),
        sockets=sockets,
        lost=dict(lost),
        service_cpu=scrape.counted(catalogue.PROCESS_CPU, before.scrape) / seconds,
        generator_cpu=(after.cpu_s - before.cpu_s) / seconds,
    )


def interval_line(figures: Figures, begun: float) -> str:
    """Return an interval as a line under `HEADINGS`; latencies are 99th percentiles in ms."""
    p99 = {name: each.p99_ms for name, each in figures.latencies.items()}
    cells = (
        f"{figures.started + figures.seconds - begun:.0f}",
        f"{figures.ticks / figures.seconds:,.0f}",
        f"{figures.commands / figures.seconds:,.0f}",
        f"{figures.refused:,}",
        _number(p99[ANSWERED]),
        _number(p99[QUOTES_PUSHED]),
        _number(p99[FILLS_PUSHED]),
        _number(figures.service[TICK_TO_COMMIT].p99_ms),
        _number(figures.service[QUOTE_AGE].p99_ms),
        _number(p99[TICK_LAG]),
    )
    return row(cells)


def row(cells: tuple[str, ...]) -> str:
    """Return cells as a line of the table of intervals."""
    return " ".join(cell.rjust(_COLUMN) for cell in cells)


def summary(figures: Figures) -> Iterator[str]:
    """Yield the lines that tell the whole."""
    seconds = figures.seconds
    yield (
        f"{seconds:.0f} s: {figures.ticks:,} ticks ({figures.ticks / seconds:,.0f}/s)"
        f"{_lost(figures.ticks_held_back, figures.ticks_late)}, of which the service took "
        f"{figures.quotes_taken:,} and refused {figures.quotes_refused:,}"
    )
    yield (
        f"{figures.commands:,} commands ({figures.commands / seconds:,.0f}/s)"
        f"{_lost(figures.commands_held_back, figures.commands_late)}: {_counts(figures.answers)}"
    )
    yield f"{figures.fired:,} orders fired by {figures.dips:,} ticks"
    yield f"{figures.sockets:,} sockets{_ended(figures.lost)}: {_counts(figures.messages)}"
    yield (f"cores: service {figures.service_cpu:.2f}, this generator {figures.generator_cpu:.2f}")
    rows: list[tuple[str, ...]] = [("latency, ms", "count", "p50", "p90", "p99", "max")]
    for name, latency in figures.latencies.items():
        values = (latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.max_ms)
        rows.append((name, f"{latency.count:,}", *map(_number, values)))
    for name, stage in figures.service.items():
        values = (stage.p50_ms, stage.p90_ms, stage.p99_ms, None)
        rows.append((f"service: {name}", f"{stage.count:,}", *map(_number, values)))
    for name, *cells in rows:
        yield f"{name:<{_NAME}}" + row(tuple(cells))


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"


def _lost(held_back: int, late: int) -> str:
    parts = []
    if held_back:
        parts.append(f"{held_back:,} held back")
    if late:
        parts.append(f"{late:,} too late to send")
    return f", {', '.join(parts)}" if parts else ""


def _ended(lost: Mapping[str, int]) -> str:
    return f" ({_counts(lost)})" if lost else ""


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
