"""Metrics as plain numbers, turned into samples only when they are scraped.

Adding to one costs an attribute and takes no lock. One thread, that of the event loop, writes;
`Metrics.collect` reads there too, and `exposition` turns what it took into text anywhere. Every
child whose labels are closed sets exists from the start, so that a rate never misses the first one
and a ratio is never of an absent series; an open label (a symbol, a route) gets its children by
`declare` or on first use, and whoever owns it keeps it bounded.

Limits: a histogram with negative edges exports no sum, as OpenMetrics demands.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as MetricFamily
from prometheus_client.registry import Collector

from telemetry.catalogue import METRICS, Kind, Metric


class Number:
    """A value; `read`, where given, is asked for it at scrape time instead."""

    __slots__ = ("read", "value")

    def __init__(self, metric: Metric) -> None:
        self.value: float = 0
        self.read: Callable[[], float] | None = None

    def add(self, amount: float = 1) -> None:
        self.value += amount

    def samples(self, metric: Metric) -> Iterator[tuple[str, dict[str, str], float]]:
        yield metric.name, {}, self.value if self.read is None else self.read()


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

    __slots__ = ("counts", "edges", "total")

    def __init__(self, metric: Metric) -> None:
        self.edges = metric.buckets
        self.counts = [0] * (len(metric.buckets) + 1)
        self.total: float = 0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.edges, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        return sum(self.counts)

    def samples(self, metric: Metric) -> Iterator[tuple[str, dict[str, str], float]]:
        cumulated = 0
        edges = (*map(str, map(float, self.edges)), "+Inf")
        for edge, count in zip(edges, self.counts, strict=True):
            cumulated += count
            yield f"{metric.name}_bucket", {"le": edge}, cumulated
        yield f"{metric.name}_count", {}, cumulated
        if self.edges[0] >= 0:
            yield f"{metric.name}_sum", {}, self.total


Child = TypeVar("Child", Counter, Gauge, Histogram)


class Family(Generic[Child]):
    """The children of one declared metric, by their label values in the declared order."""

    def __init__(self, metric: Metric, make: Callable[[Metric], Child]) -> None:
        self.metric = metric
        self._make: Callable[[Metric], Child] = make
        self._children: dict[tuple[str, ...], Child] = {}
        closed = [label.values for label in metric.labels]
        if all(values is not None for values in closed):
            for key in product(*(values for values in closed if values is not None)):
                self._children[key] = make(metric)

    def child(self, *values: str) -> Child:
        """Return the child with these label values.

        Raises:
            ValueError: a closed label has no such value, or the number of values is wrong.
        """
        child = self._children.get(values)
        return self._add(values) if child is None else child

    def declare(self, *values: str) -> None:
        """Make a child of an open label exist, at zero, before anything happens to it."""
        self.child(*values)

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
        child: Child = self._make(self.metric)
        self._children[values] = child
        return child

    def collect(self) -> MetricFamily:
        metric = self.metric
        name = metric.name.removesuffix("_total") if metric.kind is Kind.COUNTER else metric.name
        family = MetricFamily(name, metric.help, metric.kind.value)
        names = [label.name for label in metric.labels]
        for values, child in list(self._children.items()):
            labels = dict(zip(names, values, strict=True))
            for sample_name, more, value in child.samples(metric):
                family.add_sample(sample_name, {**labels, **more}, value)
        return family


class Metrics(Collector):
    """Every metric of the catalogue on a registry of its own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self._counters: dict[str, Family[Counter]] = {}
        self._gauges: dict[str, Family[Gauge]] = {}
        self._histograms: dict[str, Family[Histogram]] = {}
        for metric in METRICS:
            match metric.kind:
                case Kind.COUNTER:
                    self._counters[metric.name] = Family(metric, Counter)
                case Kind.GAUGE:
                    self._gauges[metric.name] = Family(metric, Gauge)
                case Kind.HISTOGRAM:
                    self._histograms[metric.name] = Family(metric, Histogram)
        self._tables: list[tuple[Family[Gauge], Callable[[], Mapping[str, float]]]] = []
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def counter(self, metric: Metric) -> Family[Counter]:
        return self._counters[metric.name]

    def gauge(self, metric: Metric) -> Family[Gauge]:
        return self._gauges[metric.name]

    def histogram(self, metric: Metric) -> Family[Histogram]:
        return self._histograms[metric.name]

    def read_table(self, metric: Metric, read: Callable[[], Mapping[str, float]]) -> None:
        """Export `read()`, a gauge's values by its one label, whenever it is scraped."""
        self._tables.append((self.gauge(metric), read))

    def collect(self) -> Iterable[MetricFamily]:
        for family, read in self._tables:
            for label, value in read().items():
                family.child(label).set(value)
        for families in (self._counters, self._gauges, self._histograms):
            for each in families.values():
                yield each.collect()

    def snapshot(self) -> "Snapshot":
        """Take all samples now; call it in the thread that writes the metrics."""
        return Snapshot(list(self.registry.collect()))


class Snapshot(Collector):
    """Samples as they were at one moment."""

    def __init__(self, families: Sequence[MetricFamily]) -> None:
        self._families = families

    def collect(self) -> Sequence[MetricFamily]:
        return self._families

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return the text and its content type that suits an Accept header; any thread may."""
        encode, content_type = choose_encoder(accept)
        return encode(self), content_type
