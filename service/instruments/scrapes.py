"""What telemetry itself costs."""

from telemetry import catalogue
from telemetry.metrics import Metrics


class ScrapeInstruments:
    """What telemetry itself costs."""

    def __init__(self, metrics: Metrics) -> None:
        self._scrape = metrics.histogram(catalogue.SCRAPE).child()
        self._scrape_stall = metrics.gauge(catalogue.SCRAPE_STALL).child()
        metrics.gauge(catalogue.SERIES).child().read = lambda: metrics.series

    def scraped(self, seconds: float, longest_s: float) -> None:
        """Take the event-loop time of a scrape, and the longest stretch of it."""
        self._scrape.observe(seconds)
        self._scrape_stall.set(longest_s)
