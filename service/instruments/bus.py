"""What goes between processes: ticks to engines, requests to engines and their answers."""

from collections.abc import Callable

from telemetry import catalogue
from telemetry.metrics import Metrics


class BusInstruments:
    """What goes between processes: ticks to engines, requests to engines and their answers."""

    def __init__(self, metrics: Metrics) -> None:
        self._tick_writer = metrics.gauge(catalogue.TICK_WRITER).child()
        self._ticks_written = metrics.counter(catalogue.TICKS_WRITTEN).child()
        self._tick_lag = metrics.gauge(catalogue.TICK_LAG).child()
        self._ticks_lost = metrics.counter(catalogue.TICKS_LOST).child()
        self._outstanding = metrics.gauge(catalogue.BUS_OUTSTANDING).child()
        self._asked_again = metrics.counter(catalogue.BUS_ASKED_AGAIN).child()
        self._bus_unanswered = metrics.counter(catalogue.BUS_UNANSWERED)

    def watch_tick_writer(self, is_writing: Callable[[], bool], written: Callable[[], int]) -> None:
        """Export whether this process writes the ticks, and how many it wrote, asked at scrape."""
        self._tick_writer.read = is_writing
        self._ticks_written.read = written

    def watch_tick_lag(self, read: Callable[[], float]) -> None:
        """Export how many seconds this process reads behind, asked for at scrape.

        It must grow while ticks cannot be read at all.
        """
        self._tick_lag.read = read

    def ticks_lost(self, count: int) -> None:
        """Count ticks that were gone before they were read."""
        self._ticks_lost.value += count

    def watch_outstanding(self, read: Callable[[], int]) -> None:
        """Export how many requests wait for an engine's answer, asked for at scrape."""
        self._outstanding.read = read

    def asked_again(self) -> None:
        """Count a request that is sent once more."""
        self._asked_again.value += 1

    def unanswered(self, shard: int) -> None:
        """Count a request that had no answer in time, or was not sent as too many wait."""
        self._bus_unanswered.child(str(shard)).value += 1
