"""What becomes of spans, and what was slow."""

from collections.abc import Callable, Mapping

from telemetry import catalogue
from telemetry.limits import Limit
from telemetry.metrics import Metrics
from telemetry.spans import Tracing


class SpanInstruments:
    """The way to make spans, and what becomes of them."""

    def __init__(self, metrics: Metrics, tracing: Tracing) -> None:
        self.tracing = tracing
        self._spans = metrics.counter(catalogue.SPANS)
        slow = metrics.counter(catalogue.SLOW)
        for outcome, counts in (
            ("traced", tracing.slow_traced),
            ("limited", tracing.slow_limited),
        ):
            for limit in Limit:
                slow.child(limit.label, outcome).read = _reader(counts, limit)

    def watch_spans(
        self,
        exported: Callable[[], int],
        failed: Callable[[], int],
        dropped: Callable[[], int],
    ) -> None:
        """Export what became of spans, asked for at scrape."""
        self._spans.child("exported").read = exported
        self._spans.child("failed").read = failed
        self._spans.child("dropped").read = dropped


def _reader(counts: Mapping[Limit, int], limit: Limit) -> Callable[[], int]:
    return lambda: counts[limit]
