"""The promise to traders, as queries: how much of it is kept, and how fast its budget burns."""

from dashboards.panel import Query
from dashboards.query import RANGE, buckets, count, increase, share_over_within
from telemetry.catalogue import TICK_TO_COMMIT
from telemetry.thresholds import TRIGGER_COMMIT_LIMIT_S, TRIGGER_COMMIT_OBJECTIVE

_BUDGET = f"{1 - TRIGGER_COMMIT_OBJECTIVE:g}"


def kept() -> Query:
    """Return the share of fired triggers that were committed in time, over the time shown."""
    within = increase(buckets(TICK_TO_COMMIT, TRIGGER_COMMIT_LIMIT_S))
    return Query(f"{within} / {increase(count(TICK_TO_COMMIT))}", "in time")


def budget_left() -> Query:
    """Return the share of the budget of late commits that the time shown leaves."""
    return Query(f"1 - ({_late(RANGE)}) / {_BUDGET}", "left")


def burn_rates() -> tuple[Query, ...]:
    """Return how many times too fast the budget burns, over each window the alerts look at."""
    return tuple(
        Query(f"({_late(window)}) / {_BUDGET}", f"over {window}")
        for window in ("5m", "30m", "1h", "6h", "3d")
    )


def _late(window: str) -> str:
    return share_over_within(window, TICK_TO_COMMIT, TRIGGER_COMMIT_LIMIT_S)
