"""What the service measures, said in the words of the trade.

Everything above the domain tells an `Instruments` what happened; which metric that is, stays here.
Label values must be those of `telemetry/vocabulary.py`: another one raises ValueError. Call it from
the event loop's thread alone. A test takes a fresh `Instruments()`: there is no other double.

Cost: `instruments.quotes.value += 1` is an attribute; the others add a call and a look-up.
"""

from collections.abc import Callable, Iterable, Mapping

from telemetry import catalogue, vocabulary
from telemetry.metrics import Metrics


class Instruments:
    """The service's measurements on one set of metrics."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        metrics = Metrics() if metrics is None else metrics
        self.metrics = metrics
        self.quotes = metrics.counter(catalogue.QUOTES).child()
        self._quotes_refused = metrics.counter(catalogue.QUOTES_REFUSED)
        self._triggered = metrics.counter(catalogue.TRIGGERED)
        self._missed = metrics.counter(catalogue.MISSED_TRIGGERS)
        self._placed = metrics.counter(catalogue.ORDERS_PLACED)
        self._opened = metrics.counter(catalogue.ORDERS_OPENED)
        self._closed = metrics.counter(catalogue.ORDERS_CLOSED)
        self._cancelled = metrics.counter(catalogue.ORDERS_CANCELLED)
        self._slippage = metrics.histogram(catalogue.SLIPPAGE)
        self._account_faults = metrics.counter(catalogue.ACCOUNT_FAULTS).child()
        self._reconciled = metrics.counter(catalogue.RECONCILED_ORDERS)
        self._activated = metrics.counter(catalogue.ORDERS_ACTIVATED)
        self._trailing_moves = metrics.counter(catalogue.TRAILING_MOVES).child()
        self._partial_closes = metrics.counter(catalogue.PARTIAL_CLOSES).child()
        self._corrections = metrics.counter(catalogue.CORRECTIONS).child()
        self._margin_calls = metrics.counter(catalogue.MARGIN_CALLS).child()
        self._margin_restored = metrics.counter(catalogue.MARGIN_RESTORED).child()
        self._balance_resets = metrics.counter(catalogue.BALANCE_RESETS).child()
        self._swaps = metrics.counter(catalogue.SWAPS_CHARGED).child()
        self._tick_to_commit = metrics.histogram(catalogue.TICK_TO_COMMIT).child()
        self._commit = metrics.histogram(catalogue.COMMIT).child()
        self._commit_size = metrics.histogram(catalogue.COMMIT_SIZE).child()
        self._decisions = metrics.counter(catalogue.DECISIONS)
        self._commands = metrics.counter(catalogue.COMMAND)
        self._command_s = metrics.histogram(catalogue.COMMAND_S)
        self._store = metrics.histogram(catalogue.STORE_OPERATION)
        self._store_errors = metrics.counter(catalogue.STORE_ERRORS)
        self._cache_requests = metrics.counter(catalogue.CACHE_REQUESTS)
        self._cache_updated = metrics.counter(catalogue.CACHE_UPDATED)
        self._cache_warmed = metrics.counter(catalogue.CACHE_WARMED).child()
        self._cache_audited = metrics.counter(catalogue.CACHE_AUDITED)
        self._cache_differences = metrics.counter(catalogue.CACHE_DIFFERENCES)
        self._portfolio_accounts = metrics.counter(catalogue.PORTFOLIO_ACCOUNTS)
        self._portfolio_prices = metrics.counter(catalogue.PORTFOLIO_PRICES)
        self._events_relayed = metrics.counter(catalogue.EVENTS_RELAYED)
        self._events_delivered = metrics.counter(catalogue.EVENTS_DELIVERED).child()
        self._event_catchups = metrics.counter(catalogue.EVENT_CATCHUPS)
        self._price_messages = metrics.counter(catalogue.PRICE_MESSAGES).child()
        self._sockets = metrics.gauge(catalogue.SOCKETS).child()
        self._sockets_opened = metrics.counter(catalogue.SOCKETS_OPENED).child()
        self._sockets_closed = metrics.counter(catalogue.SOCKETS_CLOSED)
        self._socket_processing = metrics.histogram(catalogue.SOCKET_PROCESSING)
        self._socket_sent = metrics.counter(catalogue.SOCKET_MESSAGES_SENT)
        self._socket_dropped = metrics.counter(catalogue.SOCKET_MESSAGES_DROPPED)
        self._http = metrics.histogram(catalogue.HTTP_REQUEST)
        self._feed_reconnects = metrics.counter(catalogue.FEED_RECONNECTS).child()
        for system, operations in (
            ("postgresql", vocabulary.POSTGRESQL_OPERATIONS),
            ("redis", vocabulary.REDIS_OPERATIONS),
        ):
            for operation in operations:
                self._store.declare(system, operation)
                self._store_errors.declare(system, operation)

    # Quotes and the feed

    def quote_refused(self, reason: str) -> None:
        """Count a quote that a guard refused (`QuoteRefusal`)."""
        self._quotes_refused.child(reason).value += 1

    def watch_last_quotes(self, read: Callable[[], Mapping[str, float]]) -> None:
        """Export the Unix time of each symbol's last quote, asked for at scrape."""
        self.metrics.read_table(catalogue.LAST_QUOTE, read)

    def feed_reconnected(self) -> None:
        self._feed_reconnects.value += 1

    def watch_feed(self, healthy: Callable[[], bool], last_message_s: Callable[[], float]) -> None:
        """Export the feed's health and the Unix time of its last message, asked for at scrape."""
        self.metrics.gauge(catalogue.FEED_HEALTHY).child().read = healthy
        self.metrics.gauge(catalogue.FEED_LAST_MESSAGE).child().read = last_message_s

    # Orders

    def triggered(self, trigger: str) -> None:
        """Count a trigger that fired: the order type, STOP_LOSS or TAKE_PROFIT."""
        self._triggered.child(trigger).value += 1

    def missed_trigger(self, trigger: str) -> None:
        """Count a trigger that only the sweep found, TRAILING_STOP and EXPIRY among them."""
        self._missed.child(trigger).value += 1

    def account_faulted(self) -> None:
        """Count an account whose rules raised, which is left alone until it is loaded anew."""
        self._account_faults.value += 1

    def reconciled(self, kind: str) -> None:
        """Count an order whose memory was not what is stored: `kind` says how."""
        self._reconciled.child(kind).value += 1

    def order_placed(self, order_type: str) -> None:
        self._placed.child(order_type).value += 1

    def order_opened(self, order_type: str) -> None:
        self._opened.child(order_type).value += 1

    def order_closed(self, reason: str) -> None:
        self._closed.child(reason).value += 1

    def order_cancelled(self, reason: str) -> None:
        self._cancelled.child(reason).value += 1

    def order_activated(self, order_type: str) -> None:
        """Count a stop-limit order whose stop price was reached."""
        self._activated.child(order_type).value += 1

    def stop_trailed(self) -> None:
        self._trailing_moves.value += 1

    def partially_closed(self) -> None:
        self._partial_closes.value += 1

    def deal_corrected(self) -> None:
        self._corrections.value += 1

    def slippage(self, trigger: str, points: int) -> None:
        """Take the slippage of a triggered fill in points; positive is worse for the client."""
        self._slippage.child(trigger).observe(points)

    def watch_deferred_triggers(self, read: Callable[[], int]) -> None:
        self.metrics.counter(catalogue.DEFERRED_TRIGGERS).child().read = read

    def watch_orders(self, resting: Callable[[], int], positions: Callable[[], int]) -> None:
        """Export how many orders are pending and open, asked for at scrape."""
        self.metrics.gauge(catalogue.RESTING_ORDERS).child().read = resting
        self.metrics.gauge(catalogue.OPEN_POSITIONS).child().read = positions

    # Accounts

    def margin_called(self) -> None:
        self._margin_calls.value += 1

    def margin_restored(self) -> None:
        self._margin_restored.value += 1

    def balance_reset(self) -> None:
        """Count a negative balance that its group does not let stand."""
        self._balance_resets.value += 1

    def swap_charged(self) -> None:
        self._swaps.value += 1

    def watch_owing(self, read: Callable[[], int]) -> None:
        """Export how many positions owe a swap, asked for at scrape."""
        self.metrics.gauge(catalogue.SWAPS_OWED).child().read = read

    def watch_unpriced(self, read: Callable[[], int]) -> None:
        """Export how many positions have no price or rate, asked for at scrape."""
        self.metrics.gauge(catalogue.UNPRICED_POSITIONS).child().read = read

    # Writing

    def tick_to_commit(self, seconds: float) -> None:
        self._tick_to_commit.observe(seconds)

    def commit(self, size: int, seconds: float) -> None:
        """Take a commit of `size` decisions."""
        self._commit.observe(seconds)
        self._commit_size.observe(size)
        self._decisions.child("committed").value += size

    def decisions_failed(self, count: int = 1) -> None:
        """Count decisions that were rolled back alone."""
        self._decisions.child("failed").value += count

    @property
    def failed_decisions(self) -> int:
        """Decisions rolled back alone so far."""
        return int(self._decisions.child("failed").value)

    def decisions_withdrawn(self, count: int = 1) -> None:
        """Count decisions taken back because an earlier one of the account failed."""
        self._decisions.child("withdrawn").value += count

    def decisions_fenced(self, count: int = 1) -> None:
        """Count decisions refused because the lease's epoch is past."""
        self._decisions.child("fenced").value += count

    def watch_writer_queue(self, read: Callable[[], int]) -> None:
        self.metrics.gauge(catalogue.WRITER_QUEUE).child().read = read

    def watch_leading(self, read: Callable[[], bool]) -> None:
        self.metrics.gauge(catalogue.LEADING).child().read = read

    # Commands and requests

    def command(self, name: str, code: str, seconds: float) -> None:
        """Take a command answered with OK, a `RejectCode`, UNAVAILABLE, WITHDRAWN or ERROR."""
        self._commands.child(name, code).value += 1
        self._command_s.child(name).observe(seconds)

    def declare_http_routes(self, routes: Iterable[tuple[str, str, int]]) -> None:
        """Make (method, route template, good status) series exist, with those of 500 and 503."""
        for method, route, status in routes:
            for each in (status, 500, 503):
                self._http.declare(method, route, str(each))

    def http_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Take an answered request; `route` is the template, never the path."""
        self._http.child(method, route, str(status)).observe(seconds)

    # Stores

    def database_call(self, operation: str, seconds: float, *, failed: bool = False) -> None:
        self._store_call("postgresql", operation, seconds, failed)

    def redis_call(self, operation: str, seconds: float, *, failed: bool = False) -> None:
        self._store_call("redis", operation, seconds, failed)

    def _store_call(self, system: str, operation: str, seconds: float, failed: bool) -> None:
        self._store.child(system, operation).observe(seconds)
        if failed:
            self._store_errors.child(system, operation).value += 1

    def cache_request(self, cache: str, result: str, count: int = 1) -> None:
        """Count entries asked of a cache: `hit`, `miss` or `error`."""
        self._cache_requests.child(cache, result).value += count

    def cache_updated(self, outcome: str, count: int = 1) -> None:
        """Count what events did to their accounts' entries: applied, absent, repeated, removed."""
        self._cache_updated.child(outcome).value += count

    def cache_warmed(self, count: int) -> None:
        """Count accounts filled when trading began."""
        self._cache_warmed.value += count

    def cache_audited(self, result: str, count: int) -> None:
        """Count entries looked at: same, different, moved (on their way) or absent."""
        self._cache_audited.child(result).value += count

    def cache_difference(self, kind: str) -> None:
        self._cache_differences.child(kind).value += 1

    def portfolio_accounts(self, result: str, count: int = 1) -> None:
        """Count accounts the portfolio job came to: valued, unpriced, flat or failed."""
        self._portfolio_accounts.child(result).value += count

    def portfolio_prices(self, source: str, count: int = 1) -> None:
        """Count group prices the portfolio job took: from cache, last_known, or none."""
        self._portfolio_prices.child(source).value += count

    # Events, prices and sockets

    def events_relayed(self, source: str, count: int) -> None:
        """Count events published to Redis, on commit or from the outbox."""
        self._events_relayed.child(source).value += count

    def watch_relay(self, behind: Callable[[], bool]) -> None:
        self.metrics.gauge(catalogue.RELAY_BEHIND).child().read = behind

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

    def socket_received(self, message_type: str, seconds: float) -> None:
        """Take the handling of a client's message; one that cannot be read is `invalid`."""
        self._socket_processing.child(message_type).observe(seconds)

    def socket_sent(self, message_type: str, count: int = 1) -> None:
        self._socket_sent.child(message_type).value += count

    def socket_dropped(self, reason: str, count: int = 1) -> None:
        """Count messages a client was not sent: conflated by a newer one, or its socket closed."""
        self._socket_dropped.child(reason).value += count
