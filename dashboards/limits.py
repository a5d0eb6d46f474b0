"""Panels that stand on the overview and again where their causes are shown."""

from dashboards.charts import trend
from dashboards.panel import Placed, limit_of
from dashboards.query import Query, age, miss_rate, series, share_over
from dashboards.tiles import tile
from telemetry import catalogue
from telemetry.thresholds import DATABASE_QUERY_LIMIT_S, WEBSOCKET_PROCESSING_LIMIT_S

WARM_CACHES = "static_orders|group_symbols"
"""The caches whose misses the alert counts; the others miss by nature."""


def slow_messages(width: int = 6) -> Placed:
    """Draw the share of client messages beyond the limit of WebSocket processing."""
    return trend(
        f"Client messages slower than {WEBSOCKET_PROCESSING_LIMIT_S:g} s",
        "Share of WebSocket messages from clients whose handling took longer than "
        f"{WEBSOCKET_PROCESSING_LIMIT_S:g} s. Bad: the "
        "event loop is held up; look at its lag on Telemetry and process, then at slow ticks.",
        "percentunit",
        Query(share_over(catalogue.SOCKET_PROCESSING, WEBSOCKET_PROCESSING_LIMIT_S), "slow"),
        limit=limit_of("TapewatchWebSocketSlow"),
        width=width,
        empty="No client sent a message",
    )


def slow_calls(width: int = 6) -> Placed:
    """Draw the share of database calls beyond the limit of a query."""
    return trend(
        f"Database calls slower than {DATABASE_QUERY_LIMIT_S:g} s",
        f"Share of PostgreSQL calls that took longer than {DATABASE_QUERY_LIMIT_S:g} s, by "
        "operation. Bad: look at the waits, locks and disk of PostgreSQL; the runbook tells how.",
        "percentunit",
        Query(
            share_over(
                catalogue.STORE_OPERATION,
                DATABASE_QUERY_LIMIT_S,
                "db_operation_name",
                db_system_name="postgresql",
            ),
            "{{db_operation_name}}",
        ),
        limit=limit_of("TapewatchDatabaseSlow"),
        width=width,
    )


def cache_misses(width: int = 6) -> Placed:
    """Draw the share of cache requests that missed."""
    return trend(
        "Cache misses",
        "Share of entries asked of Redis that it did not have, of the caches that are filled "
        "before anybody asks. Bad: keys were evicted or flushed, or the warm-up has not ended; "
        "reads go to PostgreSQL meanwhile.",
        "percentunit",
        Query(miss_rate("cache", cache_re=WARM_CACHES), "{{cache}}"),
        limit=limit_of("TapewatchCacheMissRateHigh"),
        width=width,
        empty="Nothing was asked of the cache",
    )


def loop_errors(width: int = 6) -> Placed:
    """Draw the errors in a row of each loop."""
    return trend(
        "Errors in a row of loops",
        "Failed runs of each loop since its last good one. Bad: its log lines name the error; what "
        "it leaves undone meanwhile is in its runbook.",
        "short",
        Query(f"max by (loop) ({series(catalogue.LOOP_CONSECUTIVE_ERRORS)})", "{{loop}}"),
        limit=limit_of("TapewatchLoopFailing"),
        width=width,
    )


def newest_quote(width: int, more: str | None = None) -> Placed:
    """Show the age of the newest quote of an open market."""
    in_session = f"{age(catalogue.LAST_QUOTE)} and {series(catalogue.IN_SESSION)} == 1"
    return tile(
        "Newest quote",
        "Age of the newest accepted quote of all symbols in session. Bad: nothing can trigger; see "
        "whether the feed sends messages at all, or its quotes are all refused.",
        "s",
        Query(f"min({in_session})", "age"),
        limit=limit_of("TapewatchFeedSilent"),
        more=more,
        width=width,
        empty="No symbol is in session",
    )


def untraded_shards(width: int, more: str | None = None) -> Placed:
    """Show how many shards nobody trades."""
    led = f"max by (job, shard) ({series(catalogue.SHARD_LED)})"
    return tile(
        "Shards nobody trades",
        "Shards whose accounts no engine trades now. Seconds at a crash or a hand-over; longer is "
        "an outage for these accounts: see whether engines run, and whether PostgreSQL answers.",
        "short",
        Query(f"count({led}) - sum({led})", "shards"),
        steps=((None, "green"), (1, "red")),
        more=more,
        width=width,
    )


def of_feeds(selected: str) -> str:
    """Narrow what every process exports to those that have a feed."""
    return f"{selected} and on (job, instance) {series(catalogue.ROLE, role_re='all|feed')} == 1"
