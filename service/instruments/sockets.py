"""Events, prices and the sockets they go to."""

from collections.abc import Callable

from service.instruments.sums import take_worst
from telemetry import catalogue
from telemetry.metrics import Metrics


class SocketInstruments:
    """Events, prices and the sockets they go to."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._events_relayed = metrics.counter(catalogue.EVENTS_RELAYED)
        self._events_delivered = metrics.counter(catalogue.EVENTS_DELIVERED).child()
        self._event_catchups = metrics.counter(catalogue.EVENT_CATCHUPS)
        self._price_messages = metrics.counter(catalogue.PRICE_MESSAGES).child()
        self._sockets = metrics.gauge(catalogue.SOCKETS).child()
        self._sockets_opened = metrics.counter(catalogue.SOCKETS_OPENED).child()
        self._sockets_closed = metrics.counter(catalogue.SOCKETS_CLOSED)
        self._socket_processing = metrics.histogram(catalogue.SOCKET_PROCESSING)
        bytes_moved = metrics.counter(catalogue.SOCKET_BYTES)
        self._socket_bytes_received = bytes_moved.child("received")
        self.socket_bytes_sent = bytes_moved.child("sent")
        self.sockets_waiting = metrics.gauge(catalogue.SOCKETS_WAITING).child()
        self._socket_queue = metrics.histogram(catalogue.SOCKET_QUEUE).child()
        self._socket_fanout = metrics.histogram(catalogue.SOCKET_FANOUT).child()
        self._socket_sent = metrics.counter(catalogue.SOCKET_MESSAGES_SENT)
        self._socket_dropped = metrics.counter(catalogue.SOCKET_MESSAGES_DROPPED)

    def events_relayed(self, source: str, count: int) -> None:
        """Count events published to Redis, on commit or from the outbox."""
        self._events_relayed.child(source).value += count

    def watch_relay(self, behind: Callable[[], bool]) -> None:
        """Export whether events of a shard wait to be published; one shard that waits is enough."""
        take_worst(self.metrics.gauge(catalogue.RELAY_BEHIND).child(), behind)

    def event_delivered(self) -> None:
        self._events_delivered.value += 1

    def event_catchup(self, cause: str) -> None:
        """Count a read of the outbox: start, gap, reconnected or poll."""
        self._event_catchups.child(cause).value += 1

    def watch_events(self, connected: Callable[[], bool]) -> None:
        self.metrics.gauge(catalogue.EVENTS_CONNECTED).child().read = connected

    def price_message(self) -> None:
        self._price_messages.value += 1

    def socket_opened(self) -> None:
        self._sockets.value += 1
        self._sockets_opened.value += 1

    def socket_closed(self, reason: str) -> None:
        self._sockets.value -= 1
        self._sockets_closed.child(reason).value += 1

    def socket_received(self, message_type: str, seconds: float, trace: str | None = None) -> None:
        """Take the handling of a client's message; one that cannot be read is `invalid`."""
        self._socket_processing.child(message_type).observe(seconds, trace)

    def socket_bytes_received(self, count: int) -> None:
        self._socket_bytes_received.value += count

    def socket_had_waiting(self, messages: int) -> None:
        """Take how many messages had waited for a client that has room again."""
        self._socket_queue.observe(messages)

    def prices_fanned_out(self, seconds: float) -> None:
        """Take how long a group's prices took to reach, or queue at, all its sockets."""
        self._socket_fanout.observe(seconds)

    def socket_sent(self, message_type: str, count: int = 1) -> None:
        self._socket_sent.child(message_type).value += count

    def socket_dropped(self, reason: str, count: int = 1) -> None:
        """Count messages a client was not sent: conflated by a newer one, or its socket closed."""
        self._socket_dropped.child(reason).value += count
