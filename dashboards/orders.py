"""Orders and triggers: what fires, how fast it is committed, at what price, and the writer."""

from dashboards import uids
from dashboards.board import Board, Row
from dashboards.charts import trend
from dashboards.fills import FILLS
from dashboards.panel import Placed, limit_of
from dashboards.promise import HEADING, NO_TRIGGER, budget_left, burn, in_time, missed
from dashboards.query import (
    Query,
    count,
    increase,
    quantile,
    quantiles,
    rate,
    series,
)
from dashboards.tiles import note, tile
from telemetry import catalogue
from telemetry.catalogue import Metric
from telemetry.thresholds import COMMIT_LIMIT_S, TRIGGER_COMMIT_LIMIT_S

_ALARM = ((None, "green"), (1, "red"))


def _stage(title: str, description: str, metric: Metric, line: float | None, empty: str) -> Placed:
    return trend(
        title, description, "s", *quantiles(metric), line=line, latency=True, width=6, empty=empty
    )


_PROMISE = Row(
    HEADING,
    (
        in_time(4),
        budget_left(4),
        missed(4),
        tile(
            "Failed decisions",
            "Decisions the database refused, over the time shown. Memory was ahead of what is "
            "stored and was loaded anew: the log names the decision.",
            "short",
            Query(increase(series(catalogue.DECISIONS, outcome="failed")), "failed"),
            steps=_ALARM,
        ),
        tile(
            "Fenced writes",
            "Decisions of a process that had lost the lease, over the time shown; the database "
            "refused them, as it must. Bad: two processes believed they led, see the runbook.",
            "short",
            Query(increase(series(catalogue.DECISIONS, outcome="fenced")), "fenced"),
            steps=_ALARM,
        ),
        tile(
            "Writer queue",
            "Decisions that wait for a commit now. It grows when PostgreSQL is slower than the "
            "market: see the commit below.",
            "short",
            Query(f"sum({series(catalogue.WRITER_QUEUE)})", "waiting"),
            limit=limit_of("TapewatchWriterQueueLong"),
        ),
        burn(24),
    ),
)

_STAGES = Row(
    "Where the time goes: the stages of a trigger",
    (
        _stage(
            "1. Age of quotes on arrival",
            "How old a quote is when it arrives: the provider and the network. Bad here alone: "
            "call the provider.",
            catalogue.QUOTE_AGE,
            None,
            "No quote arrived",
        ),
        _stage(
            "2. Tick to trigger",
            "From a quote's arrival to the decisions it caused: the engine. Bad: many triggers at "
            "one price, or the process lacks CPU.",
            catalogue.TICK_TO_TRIGGER,
            None,
            NO_TRIGGER,
        ),
        _stage(
            "3. Commit",
            "Duration of a group commit: PostgreSQL. Bad: see Database calls and the pool on "
            "PostgreSQL, then its disk.",
            catalogue.COMMIT,
            COMMIT_LIMIT_S,
            "Nothing was committed",
        ),
        _stage(
            "4. Tick to commit",
            "The whole way. Longer than trigger and commit together: decisions waited in the "
            "writer's queue.",
            catalogue.TICK_TO_COMMIT,
            TRIGGER_COMMIT_LIMIT_S,
            NO_TRIGGER,
        ),
    ),
)

_WRITER = Row(
    "The writer",
    (
        trend(
            "Decisions",
            "Decisions per second, by what became of them. failed and fenced stay 0, and so does "
            "withdrawn: what was taken back because an earlier one of its account failed.",
            "ops",
            Query(rate(series(catalogue.DECISIONS), "outcome"), "{{outcome}}"),
            width=6,
        ),
        trend(
            "Writer queue",
            "Decisions that wait for a commit. Bad: PostgreSQL is slower than the market, or away.",
            "short",
            Query(f"sum by (instance) ({series(catalogue.WRITER_QUEUE)})", "{{instance}}"),
            limit=limit_of("TapewatchWriterQueueLong"),
            width=6,
        ),
        trend(
            "Commits",
            "Group commits per second. None while decisions wait: the writer is stuck.",
            "ops",
            Query(rate(count(catalogue.COMMIT)), "commits"),
            width=6,
        ),
        trend(
            "Decisions in a commit",
            "How many decisions go into a commit. It grows under load, which is meant; near 1000 "
            "a commit takes as much as it may.",
            "short",
            Query(quantile(0.5, catalogue.COMMIT_SIZE), "median"),
            Query(quantile(0.99, catalogue.COMMIT_SIZE), "99 %"),
            width=6,
            empty="Nothing was committed",
        ),
    ),
)

_TRIGGERS = Row(
    "Triggers",
    (
        trend(
            "Fired",
            "Orders per second that quotes fired, by order type or protection. A wave is the "
            "market's; see what it costs in the stages above.",
            "ops",
            Query(rate(series(catalogue.TRIGGERED), "trigger"), "{{trigger}}"),
            width=6,
            stacked=True,
        ),
        trend(
            "Entries crossed",
            "Entries of the trigger books that quotes crossed, per second. gone far above fired: "
            "orders are changed faster than books forget, and cost time on the tick.",
            "ops",
            Query(rate(series(catalogue.TRIGGER_ENTRIES), "result"), "{{result}}"),
            width=6,
        ),
        trend(
            "Missed",
            "Triggers that only the sweep found, in 5 minutes, by kind. It stays 0: follow the "
            "runbook.",
            "short",
            Query(
                increase(series(catalogue.MISSED_TRIGGERS), "trigger", window="5m"), "{{trigger}}"
            ),
            width=6,
        ),
        trend(
            "Deferred",
            "Fired triggers per second that stay armed for want of a conversion rate or a group "
            "price. Bad: a symbol that others are converted by has no quotes.",
            "ops",
            Query(rate(series(catalogue.DEFERRED_TRIGGERS)), "deferred"),
            width=6,
        ),
    ),
)

_COMMANDS = Row(
    "Commands",
    (
        trend(
            "Refused commands",
            "Commands refused per second, by code: the clients' mistakes, and what is ours "
            "(UNAVAILABLE, WITHDRAWN, ERROR). A wave of NO_QUOTE or MARKET_CLOSED tells of the "
            "feed or of sessions.",
            "reqps",
            Query(f"{rate(series(catalogue.COMMAND, code_not='OK'), 'code')} > 0", "{{code}}"),
            empty="No command was refused",
            width=12,
        ),
        trend(
            "Duration of commands",
            "From a command's arrival to its answer, commit included. Bad: compare with the commit "
            "above.",
            "s",
            *quantiles(catalogue.COMMAND_S),
            latency=True,
            width=12,
            empty="No command was sent",
        ),
    ),
)

BOARD = Board(
    uids.ORDERS,
    "Orders and triggers",
    "What fires, how fast it is committed, at what price, and how it is written.",
    (
        Row(
            "Where to begin",
            (
                note(
                    "",
                    "**What fires, how fast it is committed, and at what price?** A late commit is "
                    "found in the stages from left to right: the quote came late, the engine was "
                    "slow, PostgreSQL was slow, or decisions waited. The dots are traces of single "
                    "ticks.",
                ),
            ),
        ),
        _PROMISE,
        _STAGES,
        _WRITER,
        _TRIGGERS,
        FILLS,
        _COMMANDS,
    ),
)
