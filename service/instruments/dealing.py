"""Orders and accounts: what was decided for them and committed."""

from collections.abc import Callable

from service.instruments.sums import add_up
from telemetry import catalogue
from telemetry.metrics import Metrics


class DealingInstruments:
    """Orders and accounts: what was decided for them and committed."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
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

    def watch_trigger_entries(self, result: str, read: Callable[[], int]) -> None:
        """Export how many crossed entries of the books were a `result`, asked for at scrape.

        This and what is watched of orders and accounts is of one shard; shards add up.
        """
        add_up(self.metrics.counter(catalogue.TRIGGER_ENTRIES).child(result), read)

    def watch_deferred_triggers(self, read: Callable[[], int]) -> None:
        add_up(self.metrics.counter(catalogue.DEFERRED_TRIGGERS).child(), read)

    def watch_orders(self, resting: Callable[[], int], positions: Callable[[], int]) -> None:
        """Export how many orders are pending and open, asked for at scrape."""
        add_up(self.metrics.gauge(catalogue.RESTING_ORDERS).child(), resting)
        add_up(self.metrics.gauge(catalogue.OPEN_POSITIONS).child(), positions)

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
        add_up(self.metrics.gauge(catalogue.SWAPS_OWED).child(), read)

    def watch_unpriced(self, read: Callable[[], int]) -> None:
        """Export how many positions have no price or rate, asked for at scrape."""
        add_up(self.metrics.gauge(catalogue.UNPRICED_POSITIONS).child(), read)
