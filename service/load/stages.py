"""What the service itself measured meanwhile: the difference of two looks at its `/metrics`.

A percentile is interpolated within its bucket, as Prometheus does; `within` is exact where the
limit is the edge of a bucket.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec

from telemetry import catalogue
from telemetry.catalogue import Metric

STAGES: Mapping[str, Metric] = {
    "quote age on arrival": catalogue.QUOTE_AGE,
    "tick to trigger": catalogue.TICK_TO_TRIGGER,
    "tick to commit": catalogue.TICK_TO_COMMIT,
    "commit": catalogue.COMMIT,
    "command": catalogue.COMMAND_S,
    "fan-out of prices": catalogue.SOCKET_FANOUT,
    "event loop lag": catalogue.EVENT_LOOP_LAG,
}
TICK_TO_COMMIT = "tick to commit"
QUOTE_AGE = "quote age on arrival"
_COUNTERS = (catalogue.QUOTES, catalogue.QUOTES_REFUSED, catalogue.PROCESS_CPU)
_WANTED = frozenset(f"{metric.name}_bucket" for metric in STAGES.values())
_WANTED_COUNTERS = frozenset(metric.name for metric in _COUNTERS)
_EDGE = re.compile(r'le="([^"]+)"')

Histogram = dict[float, float]


class StageView(msgspec.Struct, frozen=True, kw_only=True):
    """A stage of the service, in milliseconds, as its histogram tells it; None without any."""

    count: int
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    within_10_ms: float | None


class Scrape:
    """Counts of what was at most each edge, by metric, and counters; both over all labels."""

    def __init__(self, text: str) -> None:
        self.histograms: dict[str, Histogram] = {metric.name: {} for metric in STAGES.values()}
        self.counters: dict[str, float] = dict.fromkeys(_WANTED_COUNTERS, 0.0)
        for line in text.splitlines():
            name = line.partition("{")[0].partition(" ")[0]
            if name in _WANTED:
                found = _EDGE.search(line)
                if found is not None:
                    buckets = self.histograms[name.removesuffix("_bucket")]
                    edge = float(found[1])
                    buckets[edge] = buckets.get(edge, 0.0) + float(line.rpartition(" ")[2])
            elif name in _WANTED_COUNTERS:
                self.counters[name] += float(line.rpartition(" ")[2])

    def since(self, before: "Scrape") -> dict[str, StageView]:
        """Return the stages of the time between two scrapes."""
        return {
            stage: _view(_difference(self.histograms[metric.name], before.histograms[metric.name]))
            for stage, metric in STAGES.items()
        }

    def counted(self, metric: Metric, before: "Scrape") -> float:
        """Return by how much a counter grew."""
        return self.counters[metric.name] - before.counters[metric.name]


def _difference(after: Histogram, before: Histogram) -> list[tuple[float, float]]:
    """Return pairs of an edge and the count of what was at most it, the edges ascending."""
    return [(edge, after[edge] - before.get(edge, 0.0)) for edge in sorted(after)]


def _view(buckets: Sequence[tuple[float, float]]) -> StageView:
    count = buckets[-1][1] if buckets else 0.0
    if not count:
        return StageView(count=0, p50_ms=None, p90_ms=None, p99_ms=None, within_10_ms=None)
    within = next((seen for edge, seen in buckets if edge >= 0.01), count)
    return StageView(
        count=int(count),
        p50_ms=_percentile_ms(buckets, 0.5),
        p90_ms=_percentile_ms(buckets, 0.9),
        p99_ms=_percentile_ms(buckets, 0.99),
        within_10_ms=within / count,
    )


def _percentile_ms(buckets: Sequence[tuple[float, float]], share: float) -> float:
    """Interpolate; what is beyond the last edge counts as that."""
    due = buckets[-1][1] * share
    for (low, before), (high, seen) in pairwise([(0.0, 0.0), *buckets]):
        if seen >= due and seen > before:
            if high == float("inf"):
                return low * 1e3
            return (low + (high - low) * (due - before) / (seen - before)) * 1e3
    return buckets[-2][0] * 1e3
