"""PostgreSQL: whether it answers, its calls, and the pool of connections to it."""

from dashboards import stores, uids
from dashboards.board import Board, Row
from dashboards.charts import states
from dashboards.limits import slow_calls
from dashboards.panel import DOWN_UP, NO_YES, limit_of
from dashboards.query import Query, increase, quantile, series
from dashboards.tiles import note, tile
from telemetry import catalogue
from telemetry.thresholds import COMMIT_LIMIT_S

SYSTEM = "postgresql"

_NOW = Row(
    "PostgreSQL now",
    (
        tile(
            "PostgreSQL",
            "Whether PostgreSQL answers every instance. Down: nothing commits; what ticks trigger "
            "waits in order and commits when it is back. Follow the runbook.",
            "short",
            Query(f"min({series(catalogue.DEPENDENCY_UP, dependency=SYSTEM)})", "PostgreSQL"),
            names=DOWN_UP,
        ),
        tile(
            "Commit",
            "99th percentile of a group commit now. Bad: the disk of PostgreSQL, or a lock.",
            "s",
            Query(quantile(0.99, catalogue.COMMIT), "99 %"),
            steps=((None, "green"), (COMMIT_LIMIT_S, "red")),
            empty="Nothing was committed",
        ),
        tile(
            "Failed calls",
            "Calls that failed, over the time shown. See below which, and why.",
            "short",
            Query(increase(series(catalogue.STORE_ERRORS, db_system_name=SYSTEM)), "failed"),
            steps=((None, "green"), (1, "orange")),
        ),
        states(
            "PostgreSQL answers",
            "When it answered each instance. Red at one instance alone: the network between; at "
            "all: the server.",
            Query(series(catalogue.DEPENDENCY_UP, dependency=SYSTEM), "{{instance}}"),
            names=NO_YES,
            width=12,
            height=4,
        ),
    ),
)

BOARD = Board(
    uids.POSTGRESQL,
    "PostgreSQL",
    "Calls to the database, its pool of connections, and what fails.",
    (
        Row(
            "Where to begin",
            (
                note(
                    "",
                    "**PostgreSQL is the truth.** Without it nothing commits and commands are "
                    "refused, while ticks go on and what they trigger waits. Calls: rate and "
                    "errors left, duration right; then the pool. Waiting for a connection is not "
                    "part of a call's duration.",
                ),
            ),
        ),
        _NOW,
        stores.calls(
            SYSTEM,
            "connection: the server is away; timeout: it is slow or locked; refused: a bug or a "
            "lost lease, the log says which.",
            slow_calls(8),
        ),
        stores.pool(SYSTEM, limit_of("TapewatchDatabasePoolExhausted")),
    ),
)
