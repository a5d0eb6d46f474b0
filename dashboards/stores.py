"""The rows that PostgreSQL and Redis have in common: their calls and their pools."""

from dashboards.board import Row
from dashboards.charts import trend
from dashboards.panel import Placed
from dashboards.query import Query, count, quantile, quantiles, rate, series
from telemetry import catalogue
from telemetry.thresholds import AlertLimit


def calls(system: str, what_to_do: str, slow: Placed) -> Row:
    """Return rate, errors and duration of the calls of a store.

    Args:
        slow: the panel of what is too slow, or misses.
    """
    return Row(
        "Calls: rate, errors, duration",
        (
            trend(
                "Calls",
                "Calls per second, by operation. A multiple of the usual: see which operation, and "
                "on Overview which command or route asks for it.",
                "ops",
                Query(
                    rate(
                        count(catalogue.STORE_OPERATION, db_system_name=system), "db_operation_name"
                    ),
                    "{{db_operation_name}}",
                ),
                many=True,
                stacked=True,
            ),
            trend(
                "Failed calls",
                f"Calls per second that failed, by operation and why. {what_to_do}",
                "ops",
                Query(
                    rate(
                        series(catalogue.STORE_ERRORS, db_system_name=system),
                        "db_operation_name",
                        "error_type",
                    )
                    + " > 0",
                    "{{db_operation_name}}: {{error_type}}",
                ),
                empty="No call failed",
            ),
            slow,
            trend(
                "Duration of calls",
                "How long calls take. Bad: the dots are traces of single calls, and the panel "
                "beside shows the operation.",
                "s",
                *quantiles(catalogue.STORE_OPERATION, db_system_name=system),
                latency=True,
            ),
            trend(
                "Duration by operation",
                "99th percentile of each operation; a logarithmic scale. One line above the rest: "
                "its plan or its data changed; all lines: the server or the network.",
                "s",
                Query(
                    quantile(
                        0.99,
                        catalogue.STORE_OPERATION,
                        "db_operation_name",
                        db_system_name=system,
                    ),
                    "{{db_operation_name}}",
                ),
                latency=True,
                many=True,
                logarithmic=True,
                width=16,
            ),
        ),
    )


def pool(system: str, limit: AlertLimit | None) -> Row:
    """Return the use of a store's connection pool, the waits for it, and what they ended in."""
    used = series(catalogue.POOL_CONNECTIONS, db_system_name=system, state="used")
    most = series(catalogue.POOL_LIMIT, db_system_name=system)
    states = series(catalogue.POOL_CONNECTIONS, db_system_name=system)
    return Row(
        "Connection pool",
        (
            trend(
                "Share in use",
                "Share of the connections the pool may have that are in use. Bad near 1: calls are "
                "slow, or more come than the pool is made for.",
                "percentunit",
                Query(f"sum by (instance) ({used}) / sum by (instance) ({most})", "{{instance}}"),
                limit=limit,
            ),
            trend(
                "Connections",
                "Connections in use and idle, and how many there may be. None at all: the server "
                "does not answer.",
                "short",
                Query(f"sum by (state) ({states})", "{{state}}"),
                Query(f"sum({most})", "may be"),
            ),
            trend(
                "Waiting callers",
                "Callers that wait for a connection now. Bad when it lasts: what they do waits "
                "too, commands among it.",
                "short",
                Query(f"sum({series(catalogue.POOL_WAITERS, db_system_name=system)})", "waiting"),
            ),
            trend(
                "Wait for a connection",
                "How long callers waited, the making of new connections included. It is not part "
                "of the duration of calls: add both.",
                "s",
                *quantiles(catalogue.POOL_WAIT, db_system_name=system),
                latency=True,
            ),
            trend(
                "Waits in vain",
                "Waits per second that ended without a connection. Each is a failed command, read "
                "or commit: the server is away or the pool exhausted.",
                "cps",
                Query(rate(series(catalogue.POOL_TIMEOUTS, db_system_name=system)), "in vain"),
            ),
            trend(
                "Time a connection is kept",
                "From taking a connection to giving it back. Longer than the calls take: whoever "
                "holds it does something else meanwhile, or the event loop is late.",
                "s",
                *quantiles(catalogue.POOL_USE, db_system_name=system),
                latency=True,
            ),
        ),
    )
