"""What happened in a soak, in figures: one that lacks some kind of event does not show much."""

from service.domain.order import CancelReason, CloseReason, OrderKind, OrderType
from telemetry import catalogue
from telemetry.catalogue import Metric
from tests.soak.shard import Shard

Counts = dict[str, dict[str, int]]

_WANTED: dict[Metric, tuple[str, ...]] = {
    catalogue.ORDERS_PLACED: tuple(each for each in OrderType if each.kind is not OrderKind.MARKET),
    catalogue.ORDERS_OPENED: tuple(OrderType),
    catalogue.ORDERS_ACTIVATED: (OrderType.BUY_STOP_LIMIT, OrderType.SELL_STOP_LIMIT),
    catalogue.ORDERS_CLOSED: tuple(CloseReason),
    catalogue.ORDERS_CANCELLED: (
        CancelReason.CLIENT,
        CancelReason.EXPIRED,
        CancelReason.INSUFFICIENT_MARGIN,
    ),
    catalogue.TRAILING_MOVES: ("",),
    catalogue.PARTIAL_CLOSES: ("",),
    catalogue.CORRECTIONS: ("",),
    catalogue.MARGIN_CALLS: ("",),
    catalogue.MARGIN_RESTORED: ("",),
    catalogue.BALANCE_RESETS: ("",),
    catalogue.SWAPS_CHARGED: ("",),
}
_TOLD = (
    *_WANTED,
    catalogue.DECISIONS,
    catalogue.QUOTES_REFUSED,
    catalogue.DEFERRED_TRIGGERS,
    catalogue.EVENTS_RELAYED,
    catalogue.CACHE_AUDITED,
    catalogue.MISSED_TRIGGERS,
    catalogue.RECONCILED_ORDERS,
    catalogue.CACHE_DIFFERENCES,
)


def counted(shard: Shard) -> Counts:
    """Return what was counted, by metric and label, without zeros."""
    return {metric.name: shard.counts(metric) for metric in _TOLD}


def never_happened(counts: Counts) -> list[str]:
    """Return the kinds of event that should have come up."""
    return [
        f"{metric.name} {label} never happened"
        for metric, labels in _WANTED.items()
        for label in labels
        if not counts[metric.name].get(label)
    ]


def how_loops_fared(shard: Shard) -> dict[str, dict[str, int]]:
    return {
        each.name: {"runs": each.runs, "errors": each.errors, "restarts": each.restarts}
        for each in shard.supervisor.statuses()
    }
