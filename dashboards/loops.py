"""The background loops: whether they run, in time, and how they recover."""

from dashboards import uids
from dashboards.board import Board, Row
from dashboards.charts import trend
from dashboards.limits import loop_errors
from dashboards.panel import limit_of
from dashboards.query import Query, age, count, increase, mean, quantile, rate, series
from dashboards.tiles import Column, listing, note
from telemetry import catalogue
from telemetry.catalogue import Metric
from telemetry.thresholds import ALERT_CONDITIONS, LOOP_ERRORS_LIMIT, LOOP_RUN_LIMIT_S

_GRANTED_S = next(each.value for each in ALERT_CONDITIONS if each.alert == "TapewatchLoopStalled")

# A loop that should never end has no interval while it is well.
_INTERVALS_LATE = (
    f"clamp_min(max by (loop) (({age(catalogue.LOOP_LAST_SUCCESS)} - {_GRANTED_S:g})"
    f" / ({series(catalogue.LOOP_INTERVAL)} > 0)), 0)"
)


def _in_5_minutes(counter: Metric) -> str:
    return increase(series(counter), "loop", window="5m")


def _each(expression: str) -> str:
    return f"max by (loop) ({expression})"


_NOW = Row(
    "Every loop now",
    (
        listing(
            "Loops",
            "Every loop as it is now; red cells are bad. Errors in a row: the log says what "
            "fails. A long time since the last good run without errors: it hangs, restart the "
            "process if it is stuck.",
            "loop",
            Column(
                "Errors in a row",
                _each(series(catalogue.LOOP_CONSECUTIVE_ERRORS)),
                "short",
                LOOP_ERRORS_LIMIT + 1,
            ),
            Column("Stuck", _each(series(catalogue.LOOP_STUCK)), "bool_yes_no", 1),
            Column("Since the last good run", _each(age(catalogue.LOOP_LAST_SUCCESS)), "s"),
            Column("Interval", _each(series(catalogue.LOOP_INTERVAL)), "s"),
            Column("Runs per second", rate(series(catalogue.LOOP_RUNS), "loop"), "ops"),
            Column("Errors per second", rate(series(catalogue.LOOP_ERRORS), "loop"), "ops"),
            height=11,
        ),
    ),
)

_RUNS = Row(
    "Runs: rate, errors, duration",
    (
        trend(
            "Runs",
            "Runs that began per second. A loop whose line ends does not run any more: see the "
            "list above, and its log lines.",
            "ops",
            Query(rate(series(catalogue.LOOP_RUNS), "loop"), "{{loop}}"),
            many=True,
        ),
        trend(
            "Failed runs",
            "Share of runs that failed, by loop. Single failures recover by themselves; a loop at "
            "1 fails always.",
            "percentunit",
            Query(
                f"{rate(series(catalogue.LOOP_ERRORS), 'loop')}"
                f" / {rate(series(catalogue.LOOP_RUNS), 'loop')} > 0",
                "{{loop}}",
            ),
            empty="No run failed",
        ),
        loop_errors(8),
        trend(
            "Duration of runs",
            "99th percentile by loop; a logarithmic scale. Beyond the line a run is traced: the "
            "dots lead to what it waited for.",
            "s",
            Query(quantile(0.99, catalogue.LOOP_S, "loop"), "{{loop}}"),
            line=LOOP_RUN_LIMIT_S,
            latency=True,
            logarithmic=True,
            many=True,
            width=24,
        ),
    ),
)

_TROUBLE = Row(
    "Stalls and recoveries",
    (
        trend(
            "Intervals without a good run",
            f"How many intervals each loop is late, besides {_GRANTED_S:g} s that are granted. "
            "Bad: it hangs or is gone without an error; see what it waits for in its trace.",
            "short",
            Query(_INTERVALS_LATE, "{{loop}}"),
            limit=limit_of("TapewatchLoopStalled"),
        ),
        trend(
            "Time to recover",
            "From the first of a row of failed runs to the first good one, mean by loop. Beyond "
            "the line: what it depends on was away for long, or its pauses grew long.",
            "s",
            Query(mean(catalogue.LOOP_RECOVERY, "loop"), "{{loop}}"),
            limit=limit_of("TapewatchLoopRecoveredSlowly"),
            empty="No loop recovered, for none had failed",
        ),
        trend(
            "Recoveries and long rows of errors",
            "How often loops recovered, and how often one went beyond its limit of errors in a "
            "row, in 5 minutes.",
            "short",
            Query(
                f"{increase(count(catalogue.LOOP_RECOVERY), 'loop', window='5m')} > 0",
                "recovered: {{loop}}",
            ),
            Query(
                f"{_in_5_minutes(catalogue.LOOP_ERROR_STREAKS)} > 0", "beyond the limit: {{loop}}"
            ),
            empty="No loop failed",
        ),
        trend(
            "Overruns",
            "Runs past their deadline, or without a sign of life for as long, in 5 minutes. Bad: "
            "a call hangs; the trace of the run names it.",
            "short",
            Query(f"{_in_5_minutes(catalogue.LOOP_OVERRUNS)} > 0", "{{loop}}"),
            empty="No run overran",
        ),
        trend(
            "Restarts",
            "Loops that died and were started again, in 5 minutes. Each is a bug: the log has its "
            "error.",
            "short",
            Query(f"{_in_5_minutes(catalogue.LOOP_RESTARTS)} > 0", "{{loop}}"),
            empty="No loop died",
        ),
        trend(
            "Abandoned and stuck",
            "Runs that did not end when told to, in 5 minutes, and whether one still does not. "
            "Bad: restart the process, and look for what does not give in.",
            "short",
            Query(f"{_in_5_minutes(catalogue.LOOP_ABANDONED)} > 0", "abandoned: {{loop}}"),
            Query(f"{_each(series(catalogue.LOOP_STUCK))} > 0", "stuck: {{loop}}"),
            empty="Every run ended when it was told to",
        ),
    ),
)

BOARD = Board(
    uids.LOOPS,
    "Loops",
    "The background loops: do they run, in time, and do they recover.",
    (
        Row(
            "Where to begin",
            (
                note(
                    "",
                    "**Do the background loops run, in time, and do they recover?** The list shows "
                    "every loop now. A failing loop names its error in the log; a silent one "
                    "hangs. Which loops run is a matter of the role; a standby runs fewer.",
                ),
            ),
        ),
        _NOW,
        _RUNS,
        _TROUBLE,
    ),
)
