"""The dashboard to open first: is the service well, does it keep its promises, what is alight."""

from dashboards import outside, uids
from dashboards.board import Board, Row
from dashboards.charts import states, trend
from dashboards.commands import COMMANDS
from dashboards.limits import (
    cache_misses,
    loop_errors,
    newest_quote,
    of_feeds,
    slow_calls,
    slow_messages,
    untraded_shards,
)
from dashboards.panel import DOWN_UP
from dashboards.promise import HEADING, NO_TRIGGER, budget_left, burn, in_time, missed
from dashboards.query import Query, quantile, rate, series
from dashboards.tiles import alerts, note, tile
from telemetry import catalogue
from telemetry.thresholds import TRIGGER_COMMIT_LIMIT_S

_HEALTH = Row(
    "Is it well?",
    (
        tile(
            "Instances down",
            "Instances of the chosen jobs that Prometheus cannot scrape. Bad from 1: see whether "
            "the process runs and answers /livez; what it did another of its role takes over.",
            "short",
            Query(
                f"count({series(outside.UP)}) - sum({series(outside.UP)})",
                "down",
            ),
            steps=((None, "green"), (1, "red")),
            width=3,
        ),
        untraded_shards(3, uids.SHARDS),
        tile(
            "PostgreSQL",
            "Whether PostgreSQL answers every instance. Down: nothing commits, commands are "
            "answered UNAVAILABLE and what ticks trigger waits in order.",
            "short",
            Query(f"min({series(catalogue.DEPENDENCY_UP, dependency='postgresql')})", "PostgreSQL"),
            names=DOWN_UP,
            more=uids.POSTGRESQL,
            width=3,
        ),
        tile(
            "Redis",
            "Whether Redis answers every instance. Down: trading goes on, reads fall back to "
            "PostgreSQL and clients get their events late.",
            "short",
            Query(f"min({series(catalogue.DEPENDENCY_UP, dependency='redis')})", "Redis"),
            names=DOWN_UP,
            more=uids.REDIS,
            width=3,
        ),
        newest_quote(3, uids.MARKET_DATA),
        in_time(3, uids.ORDERS),
        budget_left(3, uids.ORDERS),
        missed(3, uids.ORDERS),
    ),
)

_NOW = Row(
    "What is alight",
    (
        alerts(
            "Active alerts",
            "Alerts that fire or are about to, the worst first. Open one for its runbook and for "
            "the dashboard that shows its cause.",
            width=7,
            height=9,
        ),
        states(
            "Readiness and what it depends on",
            "When each instance was scraped, had a live feed, where it should have one, and "
            "reached its servers. A red bar tells since when, and of what.",
            Query(series(outside.UP), "scraped {{instance}}"),
            Query(of_feeds(series(catalogue.FEED_HEALTHY)), "feed {{instance}}"),
            Query(series(catalogue.DEPENDENCY_UP), "{{dependency}} {{instance}}"),
            names=DOWN_UP,
            width=8,
            height=9,
        ),
        trend(
            "Shards by process",
            "How many shards each process trades; all of them together, always. Changes without a "
            "deployment are bad: nothing of a shard is triggered until another has loaded it; see "
            "Shards and roles.",
            "short",
            Query(f"sum by (instance) ({series(catalogue.SHARD_LED)})", "{{instance}}"),
            stacked=True,
            width=9,
            height=9,
        ),
    ),
)

_PROMISE = Row(
    HEADING,
    (
        burn(12),
        trend(
            "Tick to commit",
            "From a quote's arrival to the commit of what it triggered. Beyond the red line a "
            "commit is late; the dots are traces of single ticks.",
            "s",
            *(
                Query(quantile(share, catalogue.TICK_TO_COMMIT), name)
                for share, name in ((0.5, "median"), (0.99, "99 %"), (0.999, "99.9 %"))
            ),
            line=TRIGGER_COMMIT_LIMIT_S,
            latency=True,
            width=12,
            empty=NO_TRIGGER,
        ),
    ),
)

_THRESHOLDS = Row(
    "The four thresholds",
    (slow_messages(), slow_calls(), cache_misses(), loop_errors()),
)

_TRADE = Row(
    "The trade",
    (
        trend(
            "Quotes",
            "Quotes that reached each process and those its guards refused, per second. None at "
            "all in an open market is bad: see Market data and WebSocket.",
            "cps",
            Query(rate(series(catalogue.QUOTES), "instance"), "{{instance}}"),
            Query(rate(series(catalogue.QUOTES_REFUSED), "instance"), "refused {{instance}}"),
        ),
        trend(
            "Triggers",
            "Orders per second that quotes fired, by order type or protection. A wave is the "
            "market's; see what it costs under Tick to commit.",
            "ops",
            Query(rate(series(catalogue.TRIGGERED), "trigger"), "{{trigger}}"),
            stacked=True,
        ),
        trend(
            "Positions, orders and sockets",
            "Open positions and resting orders in memory, and client sockets. A sudden fall to 0 "
            "is bad: a shard lost its engine, or the clients their gateway.",
            "short",
            Query(f"sum({series(catalogue.OPEN_POSITIONS)})", "open positions"),
            Query(f"sum({series(catalogue.RESTING_ORDERS)})", "resting orders"),
            Query(f"sum({series(catalogue.SOCKETS)})", "client sockets"),
        ),
    ),
)

BOARD = Board(
    uids.OVERVIEW,
    "Overview",
    "Is the trading service well, does it keep its promises, and what is alight.",
    (
        Row(
            "Where to begin",
            (
                note(
                    "",
                    "**For who is on call.** Tiles: red is bad now. Then the alerts, then the "
                    "promise to traders, then what clients see (rate and errors left, duration "
                    "right), then the four thresholds. A click on a tile opens the dashboard that "
                    "tells more, for the same time and instances; the dots on a latency panel open "
                    "traces; vertical lines are alerts (red) and starts of processes (blue).",
                    height=3,
                ),
            ),
        ),
        _HEALTH,
        _NOW,
        _PROMISE,
        COMMANDS,
        _THRESHOLDS,
        _TRADE,
    ),
)
