"""What telemetry itself costs."""

from collections.abc import Callable
from functools import partial
from itertools import product

from telemetry import catalogue, vocabulary
from telemetry.metrics import Metrics


class ScrapeInstruments:
    """What telemetry itself costs."""

    def __init__(self, metrics: Metrics) -> None:
        self._scrape = metrics.histogram(catalogue.SCRAPE).child()
        self._scrape_stall = metrics.gauge(catalogue.SCRAPE_STALL).child()
        metrics.gauge(catalogue.SERIES).child().read = lambda: metrics.series
        self._log_records = metrics.counter(catalogue.LOG_RECORDS)
        self._log_dropped = metrics.counter(catalogue.LOG_DROPPED).child()

    def scraped(self, seconds: float, longest_s: float) -> None:
        """Take the event-loop time of a scrape, and the longest stretch of it."""
        self._scrape.observe(seconds)
        self._scrape_stall.set(longest_s)

    def watch_logs(self, count: Callable[[str, str], int], dropped: Callable[[], int]) -> None:
        """Export how much was logged by level and area, and how much dropped, asked at scrape."""
        for level, area in product(vocabulary.LOG_LEVELS, vocabulary.LOG_AREAS):
            self._log_records.child(level, area).read = partial(count, level, area)
        self._log_dropped.read = dropped
