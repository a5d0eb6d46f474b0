"""Every threshold, once: what is too slow, too much or too old.

The limits of work are those it is traced beyond, and edges of the buckets that count it. The limits
of alerts are the numbers in `alerts/rules`, the red lines of the dashboards and the figures in the
runbooks, which tests hold to them.
"""

from dataclasses import dataclass

# Limits of work: R11.2 for messages and queries.
WEBSOCKET_PROCESSING_LIMIT_S = 0.1
DATABASE_QUERY_LIMIT_S = 0.5
TICK_PROCESSING_LIMIT_S = 0.01
COMMIT_LIMIT_S = 0.5
LOOP_RUN_LIMIT_S = 1.0
SCRAPE_STALL_LIMIT_S = 0.005
SERIES_BUDGET = 6000

# The promise to traders: a fired trigger is committed within this time after its quote arrived.
TRIGGER_COMMIT_LIMIT_S = 0.1
TRIGGER_COMMIT_OBJECTIVE = 0.999

LOOP_ERRORS_LIMIT = 5
"""A loop with more errors in a row than this is failing (R11.2)."""


@dataclass(frozen=True, slots=True)
class AlertLimit:
    """The number an alert compares with. `unit` is Grafana's name of what it is in."""

    alert: str
    value: float
    unit: str
    meaning: str


ALERT_LIMITS = (
    AlertLimit(
        "TapewatchWebSocketSlow",
        0.01,
        "percentunit",
        "share of client messages that took longer than 0.1 s",
    ),
    AlertLimit(
        "TapewatchDatabaseSlow",
        0.05,
        "percentunit",
        "share of database calls that took longer than 0.5 s",
    ),
    AlertLimit(
        "TapewatchCacheMissRateHigh",
        0.1,
        "percentunit",
        "share of cache requests that missed",
    ),
    AlertLimit("TapewatchLoopFailing", LOOP_ERRORS_LIMIT, "short", "errors in a row of a loop"),
    AlertLimit("TapewatchFeedSilent", 15, "s", "age of the newest quote of an open market"),
    AlertLimit("TapewatchSymbolSilent", 120, "s", "age of a symbol's last quote in its session"),
    AlertLimit(
        "TapewatchFeedQuotesRefused", 0.05, "percentunit", "share of quotes that are refused"
    ),
    AlertLimit("TapewatchFeedReconnecting", 3, "short", "feed connections made anew in 5 minutes"),
    AlertLimit(
        "TapewatchTriggerBudgetBurnsFast", 14.4, "short", "burn rate of the error budget over 1 h"
    ),
    AlertLimit(
        "TapewatchTriggerBudgetBurns", 1, "short", "burn rate of the error budget over 3 days"
    ),
    AlertLimit("TapewatchWriterQueueLong", 2000, "short", "decisions that wait for a commit"),
    AlertLimit("TapewatchLeaseFlapping", 3, "short", "leases of a shard run out in 10 minutes"),
    AlertLimit("TapewatchTickLagHigh", 1, "s", "behind the newest written tick"),
    AlertLimit(
        "TapewatchDatabasePoolExhausted", 0.9, "percentunit", "share of pooled connections in use"
    ),
    AlertLimit("TapewatchRedisMemoryHigh", 0.9, "percentunit", "share of Redis's memory in use"),
    AlertLimit("TapewatchLoopStalled", 5, "short", "intervals of a loop without a good run"),
    AlertLimit(
        "TapewatchLoopRecoveredSlowly", 60, "s", "from a loop's first error to its next good run"
    ),
    AlertLimit("TapewatchStopOutBurst", 20, "short", "positions stopped out in 5 minutes"),
    AlertLimit("TapewatchSlowClientsDropped", 5, "short", "sockets of slow clients in 5 minutes"),
    AlertLimit("TapewatchEventLoopLag", 0.1, "s", "lateness of the event loop, 99th percentile"),
    AlertLimit(
        "TapewatchClientsTurnedAway", 0.5, "percentunit", "share of answers that let nobody in"
    ),
    AlertLimit("TapewatchRequestsFailing", 5, "short", "requests answered 500 in 5 minutes"),
)


@dataclass(frozen=True, slots=True)
class AlertCondition:
    """A further number in an alert's condition: below it, or before it, the alert says nothing."""

    alert: str
    value: float
    meaning: str


ALERT_CONDITIONS = (
    AlertCondition("TapewatchEventLoopLag", 0.01, "share of wake-ups that are late"),
    AlertCondition("TapewatchEventLoopLag", 120, "s since the process began"),
    AlertCondition("TapewatchFeedSilent", 60, "s since the process began"),
    AlertCondition("TapewatchSymbolSilent", 120, "s since the process began"),
    AlertCondition("TapewatchFeedQuotesRefused", 20, "quotes refused in 2 minutes"),
    AlertCondition("TapewatchTriggerBudgetBurnsFast", 6, "burn rate of the error budget over 6 h"),
    AlertCondition("TapewatchTriggerBudgetBurnsFast", 10, "late triggers in the longer window"),
    AlertCondition("TapewatchTriggerBudgetBurns", 10, "late triggers in three days"),
    AlertCondition("TapewatchClientsTurnedAway", 400, "answers in 2 minutes"),
    AlertCondition("TapewatchWebSocketSlow", 100, "messages in 2 minutes"),
    AlertCondition("TapewatchDatabaseSlow", 20, "calls in 5 minutes, for the share to count"),
    AlertCondition("TapewatchDatabaseSlow", 3, "slow calls in 5 minutes, whatever their share"),
    AlertCondition("TapewatchCacheMissRateHigh", 20, "requests in 2 minutes"),
    AlertCondition("TapewatchCacheMissRateHigh", 120, "s since the process began"),
    AlertCondition("TapewatchRedisMemoryHigh", 180, "s since the process began, for evictions"),
    AlertCondition("TapewatchLoopStalled", 120, "s beyond the intervals"),
    AlertCondition("TapewatchNotificationsFailing", 10, "alerts dropped in 5 minutes"),
)
