"""Metrics as plain numbers, turned into text only when they are scraped.

Adding to one costs an attribute and takes no lock: all of it belongs to the event loop's thread.
`Metrics.render` gives the text in slices of about `SLICE_LINES` lines, so that whoever writes it
can let ticks in between; a child's lines are never torn apart. Every child whose labels are closed
sets exists from the start, so that a rate never misses the first one and a ratio is never of an
absent series; an open label (a symbol, a route) gets its children by `declare` or on first use, and
whoever owns it keeps it bounded.

Limits: a histogram with negative edges exports no sum and so no count, as OpenMetrics demands; its
last bucket is the count.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Generic, TypeVar

from telemetry.catalogue import METRICS, Kind, Metric
from telemetry.exposition import (
    Exemplar,
    Format,
    bucket_lines,
    end,
    head,
    line_start,
    number_line,
)

SLICE_LINES = 500  # well under a millisecond of work

Labels = Sequence[tuple[str, str]]


class Number:
    """A value; `read`, where given, is asked for it at scrape time instead."""

    __slots__ = ("_start", "read", "value")

    def __init__(self, metric: Metric, labels: Labels) -> None:
        self.value: float = 0
        self.read: Callable[[], float] | None = None
        self._start = line_start(metric.name, labels)

    def add(self, amount: float = 1) -> None:
        self.value += amount

    @property
    def now(self) -> float:
        """What a scrape would see."""
        return self.value if self.read is None else self.read()

    def lines(self, form: Format) -> Sequence[str]:
        return (number_line(self._start, self.now),)


class Counter(Number):
    """A number that only grows; a hot path adds to `value` itself."""

    __slots__ = ()


class Gauge(Number):
    """A number that goes up and down."""

    __slots__ = ()

    def set(self, value: float) -> None:
        self.value = value


class Histogram:
    """Counts of values at most each edge; `observe` is one bisection and two additions."""

    __slots__ = ("_count_start", "_starts", "_sum_start", "counts", "edges", "exemplars", "total")

    def __init__(self, metric: Metric, labels: Labels) -> None:
        self.edges = metric.buckets
        self.counts = [0] * (len(metric.buckets) + 1)
        self.total: float = 0
        self.exemplars: dict[int, Exemplar] = {}
        edges = (*map(str, map(float, self.edges)), "+Inf")
        self._starts = [
            line_start(f"{metric.name}_bucket", (*labels, ("le", edge))) for edge in edges
        ]
        self._count_start = line_start(f"{metric.name}_count", labels)
        self._sum_start = line_start(f"{metric.name}_sum", labels) if self.edges[0] >= 0 else None

    def observe(self, value: float, trace_id: str | None = None) -> None:
        """Take a value; with the id of a trace that is kept, also as its bucket's exemplar."""
        bucket = bisect_left(self.edges, value)
        self.counts[bucket] += 1
        self.total += value
        if trace_id is not None:
            self.exemplars[bucket] = Exemplar(trace_id, value, time.time())

    @property
    def count(self) -> int:
        return sum(self.counts)

    def lines(self, form: Format) -> Sequence[str]:
        exemplars = self.exemplars if form is Format.OPENMETRICS else {}
        lines = list(bucket_lines(self._starts, self.counts, exemplars))
        if self._sum_start is not None:
            lines.append(number_line(self._count_start, self.count))
            lines.append(number_line(self._sum_start, self.total))
        return lines


Child = TypeVar("Child", Counter, Gauge, Histogram)


class Family(Generic[Child]):
    """The children of one declared metric, by their label values in the declared order."""

    def __init__(self, metric: Metric, make: Callable[[Metric, Labels], Child]) -> None:
        self.metric = metric
        self._make: Callable[[Metric, Labels], Child] = make
        self._children: dict[tuple[str, ...], Child] = {}
        closed = [label.values for label in metric.labels]
        if all(values is not None for values in closed):
            for key in product(*(values for values in closed if values is not None)):
                self._add(key)

    def child(self, *values: str) -> Child:
        """Return the child with these label values.

        Raises:
            ValueError: a closed label has no such value, or the number of values is wrong.
        """
        child = self._children.get(values)
        return self._add(values) if child is None else child

    @property
    def children(self) -> Mapping[tuple[str, ...], Child]:
        """All children there are by now, by their label values."""
        return self._children

    def declare(self, *values: str) -> None:
        """Make a child of an open label exist, at zero, before anything happens to it."""
        self.child(*values)

    def keep(self, wanted: Collection[tuple[str, ...]]) -> None:
        """Forget all children but these."""
        for values in self._children.keys() - wanted:
            del self._children[values]

    def _add(self, values: tuple[str, ...]) -> Child:
        labels = self.metric.labels
        if len(values) != len(labels):
            raise ValueError(f"{self.metric.name} has {len(labels)} labels, given {values}")
        for label, value in zip(labels, values, strict=True):
            if label.values is not None and value not in label.values:
                raise ValueError(
                    f"{self.metric.name}: {label.name} may be {', '.join(label.values)}, "
                    f"not {value}: enter it in telemetry/vocabulary.py"
                )
        names = (label.name for label in labels)
        child: Child = self._make(self.metric, sorted(zip(names, values, strict=True)))
        self._children[values] = child
        return child

    def render(self, form: Format) -> Iterator[Sequence[str]]:
        """Yield the lines of one child after another."""
        for child in tuple(self._children.values()):
            yield child.lines(form)


class Metrics:
    """Every metric of the catalogue, or of a part of it, once."""

    def __init__(self, metrics: Iterable[Metric] = METRICS) -> None:
        self._counters: dict[str, Family[Counter]] = {}
        self._gauges: dict[str, Family[Gauge]] = {}
        self._histograms: dict[str, Family[Histogram]] = {}
        for metric in metrics:
            match metric.kind:
                case Kind.COUNTER:
                    self._counters[metric.name] = Family(metric, Counter)
                case Kind.GAUGE:
                    self._gauges[metric.name] = Family(metric, Gauge)
                case Kind.HISTOGRAM:
                    self._histograms[metric.name] = Family(metric, Histogram)
        self._refreshers: list[Callable[[], None]] = []
        self.series = 0  # of the last time it was rendered

    def counter(self, metric: Metric) -> Family[Counter]:
        return self._counters[metric.name]

    def gauge(self, metric: Metric) -> Family[Gauge]:
        return self._gauges[metric.name]

    def histogram(self, metric: Metric) -> Family[Histogram]:
        return self._histograms[metric.name]

    def read_table(self, metric: Metric, read: Callable[[], Mapping[str, float]]) -> None:
        """Export `read()`, a gauge's values by its one label, and no others, at every scrape."""
        family = self.gauge(metric)

        def refresh() -> None:
            values = read()
            family.keep({(label,) for label in values})
            for label, value in values.items():
                family.child(label).set(value)

        self.refresh_with(refresh)

    def refresh_with(self, refresh: Callable[[], None]) -> None:
        """Have `refresh` bring values up to date at the beginning of every scrape."""
        self._refreshers.append(refresh)

    def render(self, form: Format = Format.TEXT) -> Iterator[str]:
        """Yield the text in slices; what changes in between shows in the later ones."""
        for refresh in self._refreshers:
            refresh()
        lines: list[str] = []
        series = 0
        for families in (self._counters, self._gauges, self._histograms):
            for family in families.values():
                lines += head(family.metric, form)
                for more in family.render(form):
                    lines += more
                    series += len(more)
                    if len(lines) >= SLICE_LINES:
                        yield "".join(lines)
                        lines.clear()
        self.series = series
        yield "".join((*lines, end(form)))
