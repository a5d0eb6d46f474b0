"""The panels of the promise to traders: how much of it is kept, how fast its budget burns."""

from dashboards.charts import trend
from dashboards.outside import BURN_RATES
from dashboards.panel import Placed, limit_of
from dashboards.query import RANGE, Query, buckets, count, increase, series, share_over_within
from dashboards.tiles import tile
from telemetry.catalogue import MISSED_TRIGGERS, TICK_TO_COMMIT
from telemetry.thresholds import TRIGGER_COMMIT_LIMIT_S, TRIGGER_COMMIT_OBJECTIVE

NO_TRIGGER = "No trigger fired in the time shown"
HEADING = f"The promise: a fired trigger is committed within {TRIGGER_COMMIT_LIMIT_S:g} s"


def in_time(width: int, more: str | None = None) -> Placed:
    """Show the share of fired triggers that were committed in time, over the time shown."""
    within = increase(buckets(TICK_TO_COMMIT, TRIGGER_COMMIT_LIMIT_S))
    return tile(
        "Triggers in time",
        f"Share of fired triggers that were committed within {TRIGGER_COMMIT_LIMIT_S:g} s of their "
        f"quote's arrival, over the time shown. Bad below {TRIGGER_COMMIT_OBJECTIVE:.1%}: the "
        "stages on Orders and triggers show where the time goes.",
        "percentunit",
        Query(f"{within} / {increase(count(TICK_TO_COMMIT))}", "in time"),
        steps=((None, "red"), (TRIGGER_COMMIT_OBJECTIVE, "green")),
        more=more,
        width=width,
        empty=NO_TRIGGER,
    )


def budget_left(width: int, more: str | None = None) -> Placed:
    """Show the share of the budget of late commits that the time shown leaves."""
    late = share_over_within(RANGE, TICK_TO_COMMIT, TRIGGER_COMMIT_LIMIT_S)
    return tile(
        "Error budget left",
        "What is left of the budget of late commits if the time shown were the whole period: "
        "choose 30 days for the promise itself. Bad below 0, the promise is broken: put risky "
        "changes off.",
        "percentunit",
        Query(f"1 - ({late}) / {1 - TRIGGER_COMMIT_OBJECTIVE:g}", "left"),
        steps=((None, "red"), (0, "orange"), (0.5, "green")),
        more=more,
        width=width,
        empty=NO_TRIGGER,
    )


def missed(width: int, more: str | None = None) -> Placed:
    """Show how many triggers were missed in the time shown."""
    return tile(
        "Missed triggers",
        "Triggers and expiries that ticks overlooked and the sweep found, over the time shown. It "
        "stays 0; else follow the runbook at once: clients got late prices.",
        "short",
        Query(increase(series(MISSED_TRIGGERS)), "missed"),
        steps=((None, "green"), (1, "red")),
        more=more,
        width=width,
    )


def burn(width: int) -> Placed:
    """Draw how many times too fast the budget burns, over each window the alerts look at."""
    return trend(
        "Burn rate of the error budget",
        "How many times too fast late commits use up the error budget, by window: 1 uses it up in "
        "exactly the period. Bad: see which stage is slow on Orders and triggers.",
        "short",
        *(
            Query(f"max({series(recorded)})", f"over {window}")
            for window, recorded in BURN_RATES.items()
        ),
        limit=limit_of("TapewatchTriggerBudgetBurnsFast"),
        width=width,
        empty=NO_TRIGGER,
    )
