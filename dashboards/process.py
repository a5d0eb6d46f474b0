"""The process, its event loop, what telemetry itself loses, and whether notifications arrive."""

from dashboards import outside, uids
from dashboards.board import Board, Row
from dashboards.charts import trend
from dashboards.panel import limit_of
from dashboards.query import Query, increase, quantile, quantiles, rate, series
from dashboards.tiles import alerts, note, tile
from telemetry import catalogue
from telemetry.thresholds import SCRAPE_STALL_LIMIT_S, SERIES_BUDGET

_MONITORS = "Choose the jobs of Prometheus and Alertmanager, or All, to see theirs"

_EVENT_LOOP = Row(
    "The event loop",
    (
        trend(
            "Event-loop lag",
            "How late the event loop wakes whoever waits; it is what everything waits for. Bad: "
            "see slow work and collections beside, then CPU.",
            "s",
            *quantiles(catalogue.EVENT_LOOP_LAG),
            limit=limit_of("TapewatchEventLoopLag"),
            width=8,
        ),
        trend(
            "Slow work",
            "Work per minute that took longer than its limit, by kind, whether it was traced or "
            "told of too often already. Follow a trace_id of its WARNING line.",
            "cpm",
            Query(
                f"60 * {rate(series(catalogue.SLOW), 'kind', 'outcome')}", "{{kind}} {{outcome}}"
            ),
            width=8,
        ),
        trend(
            "Garbage collection pauses",
            "How long collections hold everything up, by generation; the youngest is not timed. "
            "Long ones of generation 2: something makes many objects, see below.",
            "s",
            Query(quantile(0.99, catalogue.GC_PAUSE, "generation"), "99 %, {{generation}}"),
            width=8,
            empty="Nothing was collected",
        ),
    ),
)

_PROCESS = Row(
    "The process",
    (
        trend(
            "CPU",
            "Cores in use. The event loop has one: at 1 it is full, whatever the machine has.",
            "short",
            Query(rate(series(catalogue.PROCESS_CPU), "instance"), "{{instance}}"),
            line=1,
            width=6,
        ),
        trend(
            "Memory",
            "Resident and virtual memory. Resident that only grows for days is a leak: compare "
            "with positions and sockets, then restart in a quiet hour.",
            "bytes",
            Query(
                f"sum by (instance) ({series(catalogue.PROCESS_MEMORY)})", "resident {{instance}}"
            ),
            Query(
                f"sum by (instance) ({series(catalogue.PROCESS_VIRTUAL)})", "virtual {{instance}}"
            ),
            width=6,
        ),
        trend(
            "File descriptors in use",
            "Share of the file descriptors that may be open. Near 1 no client can connect: raise "
            "the limit, or find what does not close.",
            "percentunit",
            Query(
                f"{series(catalogue.PROCESS_FILES)} / {series(catalogue.PROCESS_MAX_FILES)}",
                "{{instance}}",
            ),
            width=6,
        ),
        trend(
            "Time since start",
            "How long each process has run. A fall is a restart: meant at a deployment, else see "
            "the end of its log.",
            "s",
            Query(f"time() - {series(catalogue.PROCESS_START)}", "{{instance}}"),
            width=6,
        ),
        trend(
            "Collections",
            "Garbage collections per second, by generation. Many of generation 2 hold the event "
            "loop up.",
            "ops",
            Query(rate(series(catalogue.GC_COLLECTIONS), "generation"), "{{generation}}"),
            width=12,
        ),
        trend(
            "Objects collected",
            "Objects found unreachable per second: freed, and those that cannot be, which stay 0.",
            "cps",
            Query(rate(series(catalogue.GC_COLLECTED)), "freed"),
            Query(rate(series(catalogue.GC_UNCOLLECTABLE)), "cannot be freed"),
            width=12,
        ),
    ),
)

_TELEMETRY = Row(
    "Telemetry itself",
    (
        tile(
            "Spans lost",
            "Spans that found the queue full or no collector in time, over the time shown. Bad: "
            "traces have gaps; see the collector. Trading does not wait for it.",
            "short",
            Query(increase(series(catalogue.SPANS, outcome_re="failed|dropped")), "lost"),
            steps=((None, "green"), (1, "orange")),
            height=7,
        ),
        trend(
            "Spans",
            "Spans per second by what became of them. failed: no collector took them in time; "
            "dropped: they came faster than they could be sent.",
            "cps",
            Query(rate(series(catalogue.SPANS), "outcome"), "{{outcome}}"),
            width=5,
        ),
        tile(
            "Log lines lost",
            "Log lines that came faster than they could be written, over the time shown. Bad: what "
            "floods the log is at its end; the disk may be full or slow.",
            "short",
            Query(increase(series(catalogue.LOG_DROPPED)), "lost"),
            steps=((None, "green"), (1, "orange")),
            height=7,
        ),
        trend(
            "Log records",
            "What was logged per second, by level; repetitions that were not written count too. "
            "ERROR and CRITICAL are somebody's work: read them.",
            "cps",
            Query(rate(series(catalogue.LOG_RECORDS), "level"), "{{level}}"),
            width=5,
        ),
        trend(
            "Warnings and errors by area",
            "What was logged from WARNING on per second, by area: where to read first.",
            "cps",
            Query(
                rate(series(catalogue.LOG_RECORDS, level_re="WARNING|ERROR|CRITICAL"), "area"),
                "{{area}}",
            ),
            width=6,
        ),
        trend(
            "Event-loop time of a scrape",
            "Event-loop time that scrapes of /metrics took. Bad: fewer series, or rarer scrapes.",
            "s",
            *quantiles(catalogue.SCRAPE),
            width=6,
        ),
        trend(
            "Longest hold of a scrape",
            "The longest the last scrape held the event loop at once. Beyond the line ticks wait "
            "for monitoring.",
            "s",
            Query(f"max by (instance) ({series(catalogue.SCRAPE_STALL)})", "{{instance}}"),
            line=SCRAPE_STALL_LIMIT_S,
            width=6,
        ),
        trend(
            "Series",
            "Series of the last scrape; the red line is the budget. Growth: a label has more "
            "values than it should.",
            "short",
            Query(f"max by (instance) ({series(catalogue.SERIES)})", "{{instance}}"),
            line=SERIES_BUDGET,
            width=6,
        ),
        trend(
            "Duration of scrapes",
            "How long Prometheus took to scrape each instance. Near its timeout, gaps follow: the "
            "event loop is held up, or the network is.",
            "s",
            Query(
                f"max by (job, instance) ({series(outside.SCRAPE_DURATION)})",
                "{{job}} {{instance}}",
            ),
            width=6,
        ),
    ),
)

_NOTIFICATIONS = Row(
    "Do notifications arrive?",
    (
        trend(
            "Notifications that failed",
            "Notifications Alertmanager could not deliver per second, by integration. Bad: nobody "
            "is told. Look at its log; meanwhile watch the alerts beside.",
            "cps",
            Query(rate(series(outside.NOTIFICATIONS_FAILED), "integration"), "{{integration}}"),
            empty=_MONITORS,
        ),
        trend(
            "Alerts dropped and rules that failed",
            "Alerts Prometheus could not hand to Alertmanager, and evaluations of rules that "
            "failed, per second. Both stay 0: see its log.",
            "cps",
            Query(rate(series(outside.NOTIFICATIONS_DROPPED)), "dropped"),
            Query(rate(series(outside.RULE_FAILURES), "rule_group"), "failed {{rule_group}}"),
            empty=_MONITORS,
        ),
        alerts(
            "Alerts of the monitoring itself",
            "Alerts about telemetry and notifications that fire or are about to.",
            named="Tapewatch(Telemetry|Notifications|EventLoop|Instance).*",
            width=8,
            height=7,
        ),
    ),
)

BOARD = Board(
    uids.PROCESS,
    "Telemetry and process",
    "The process, its event loop, what telemetry itself loses, and whether notifications arrive.",
    (
        Row(
            "Where to begin",
            (
                note(
                    "",
                    "**Is it the process, or what watches it?** Everything waits for the event "
                    "loop: begin with its lag. Below: what the process uses, what telemetry loses, "
                    "and whether anybody is told. Prometheus and Alertmanager may be chosen as "
                    "jobs here.",
                ),
            ),
        ),
        _EVENT_LOOP,
        _PROCESS,
        _TELEMETRY,
        _NOTIFICATIONS,
    ),
    jobs_by=catalogue.PROCESS_START,
)
