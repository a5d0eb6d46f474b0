"""Quotes, and the feed they come from."""

from collections.abc import Callable, Mapping
from functools import partial

from service.instruments.sums import count_once
from telemetry import catalogue
from telemetry.metrics import Metrics


class QuoteInstruments:
    """Quotes, and the feed they come from."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._quotes_refused = metrics.counter(catalogue.QUOTES_REFUSED)
        self._quote_age = metrics.histogram(catalogue.QUOTE_AGE).child()
        self._feed_reconnects = metrics.counter(catalogue.FEED_RECONNECTS).child()

    def watch_quotes(self, read: Callable[[], int]) -> None:
        """Export how many quotes reached the engines, asked for at scrape; each gets all."""
        count_once(self.metrics.counter(catalogue.QUOTES).child(), read)

    def watch_refusals(self, read: Callable[[str], int]) -> None:
        """Export how many quotes were refused for a reason, asked for at scrape, by each alike."""
        for (reason,), number in self._quotes_refused.children.items():
            count_once(number, partial(read, reason))

    def quote_refused(self, reason: str) -> None:
        """Count a quote that was refused (`QuoteRefusal`) before it reached an engine."""
        self._quotes_refused.child(reason).value += 1

    def quote_age(self, seconds: float) -> None:
        """Take a quote's age on arrival; one that is ahead of the clock counts as new."""
        self._quote_age.observe(max(0.0, seconds))

    def watch_last_quotes(self, read: Callable[[], Mapping[str, float]]) -> None:
        """Export the Unix time of each symbol's last quote, asked for at scrape."""
        self.metrics.read_table(catalogue.LAST_QUOTE, read)

    def watch_sessions(self, read: Callable[[], Mapping[str, bool]]) -> None:
        """Export whether each symbol is in session, asked for at scrape."""
        self.metrics.read_table(catalogue.IN_SESSION, read)

    def feed_reconnected(self) -> None:
        self._feed_reconnects.value += 1

    def watch_feed(self, healthy: Callable[[], bool], last_message_s: Callable[[], float]) -> None:
        """Export the feed's health and the Unix time of its last message, asked for at scrape."""
        self.metrics.gauge(catalogue.FEED_HEALTHY).child().read = healthy
        self.metrics.gauge(catalogue.FEED_LAST_MESSAGE).child().read = last_message_s
