"""What a desk holds, exported as metrics."""

from collections.abc import Callable

from service.domain.desk import Desk
from service.instruments import Instruments


def watch_desk(instruments: Instruments, desk: Callable[[], Desk]) -> None:
    """Export what the desk of the moment holds, asked for at scrape."""
    instruments.watch_trigger_entries("fired", lambda: desk().trigger_counts.fired)
    instruments.watch_trigger_entries("band", lambda: desk().trigger_counts.band)
    instruments.watch_trigger_entries("gone", lambda: desk().trigger_counts.gone)
    instruments.watch_deferred_triggers(lambda: desk().trigger_counts.deferred)
    instruments.watch_orders(
        lambda: len(desk().orders) - desk().open_positions, lambda: desk().open_positions
    )
    instruments.watch_unpriced(lambda: desk().unpriced_positions)
    instruments.watch_owing(lambda: len(desk().owing))
