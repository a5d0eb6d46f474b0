"""Roles and shards: who trades what, how it changes hands, and what goes between processes."""

from dashboards import uids
from dashboards.board import Board, Row
from dashboards.charts import states, trend
from dashboards.limits import untraded_shards
from dashboards.panel import limit_of
from dashboards.query import RATE, Query, increase, quantile, rate, series
from dashboards.tiles import note, tile
from telemetry import catalogue

_LED = series(catalogue.SHARD_LED)
_BY_INSTANCE = f"sum by (job, instance) ({_LED})"
_OF_ENGINES = (
    f"({_BY_INSTANCE} and on (job, instance) {series(catalogue.ROLE, role='engine')} == 1)"
)
_CPU = f"rate({series(catalogue.PROCESS_CPU)}[{RATE}])"
_ALONE = "There is no process of the role engine"
_TRADED = {0: ("nobody trades it", "red"), 1: ("traded", "green")}
_WRITES = {0: ("stands by", "#6e7681"), 1: ("writes", "green")}

_NOW = Row(
    "Now",
    (
        tile(
            "Shards",
            "Into how many shards the accounts are divided, as the processes were set. More than "
            "shard_leases has rows: one process was set to another number, and waits.",
            "short",
            Query(f"count(max by (job, shard) ({_LED}))", "shards"),
        ),
        untraded_shards(4),
        tile(
            "Most less least",
            "How many shards more the busiest engine trades than the idlest. 2 or more for "
            "minutes: an engine does not take its share; look at its loops leadership and claims.",
            "short",
            Query(f"max({_OF_ENGINES}) - min({_OF_ENGINES})", "difference"),
            steps=((None, "green"), (2, "red")),
            empty=_ALONE,
        ),
        tile(
            "Settings not taken over",
            "Changes of settings that are stored and that some process does not go by yet. Above 0 "
            "for longer than a moment: a halt does not hold everywhere; the runbook tells how to "
            "find where.",
            "short",
            Query(f"max({series(catalogue.SETTINGS_BEHIND)})", "changes"),
            steps=((None, "green"), (1, "red")),
        ),
        tile(
            "Ticks lost",
            "Ticks that were gone before an engine or a gateway had read them, in the time shown. "
            "Any is bad: what only they crossed was not triggered; the runbook tells what to do.",
            "short",
            Query(increase(series(catalogue.TICKS_LOST)), "ticks"),
            steps=((None, "green"), (1, "red")),
        ),
        tile(
            "Requests that wait",
            "Requests of gateways that engines have not answered yet. Some at any time; a number "
            "that grows: an engine hangs, or its commands do not arrive. See below which shard.",
            "short",
            Query(f"sum({series(catalogue.BUS_OUTSTANDING)})", "requests"),
        ),
    ),
)

_WHO = Row(
    "Who trades what",
    (
        states(
            "Shards",
            "When each shard had an engine. A short red bar is a crash or a hand-over, and as long "
            "as nothing of its accounts was triggered; a long one is an outage for them.",
            Query(f"max by (shard) ({_LED})", "shard {{shard}}"),
            names=_TRADED,
            width=8,
            height=9,
        ),
        states(
            "Leaders",
            "Which process traded which shard when. Bars that swing between two: their leases run "
            "out; see whether their event loops hang, or PostgreSQL is slow for them.",
            Query(f"{_LED} == 1", "{{shard}}: {{instance}}"),
            names={1: ("trades", "green")},
            width=8,
            height=9,
            empty="Nobody trades",
        ),
        trend(
            "Shards by process",
            "How many shards each process trades. Engines differ by 1 at most once all is spread; "
            "the sum is the number of shards, always.",
            "short",
            Query(_BY_INSTANCE, "{{instance}}"),
            stacked=True,
            height=9,
        ),
        trend(
            "Leases that ran out",
            "How often in 10 minutes a shard was taken over because its engine had died, hung or "
            "lost PostgreSQL. Once, at a crash, is meant; more: the runbook tells what to look at.",
            "short",
            Query(
                increase(series(catalogue.SHARD_TAKEN, reason="expired"), "shard", window="10m"),
                "shard {{shard}}",
            ),
            limit=limit_of("TapewatchLeaseFlapping"),
        ),
        trend(
            "Taken",
            "Shards that began to be traded by another process, in 5 minutes, by how they had "
            "become free: released by who stopped or shared, or expired.",
            "short",
            Query(increase(series(catalogue.SHARD_TAKEN), "reason", window="5m"), "{{reason}}"),
        ),
        trend(
            "Given up",
            "Shards that processes stopped to trade, in 5 minutes, by why: shutdown and fair_share "
            "are meant; lost, failed and database are not, the log of the process says more.",
            "short",
            Query(increase(series(catalogue.SHARDS_LEFT), "reason", window="5m"), "{{reason}}"),
        ),
        trend(
            "Without a leader",
            "From the end of a lease to trading under the next, median and slowest. Loading the "
            "accounts is part of it; seconds more than that: the database is slow, or nobody was "
            "free to take it.",
            "s",
            *(
                Query(quantile(share, catalogue.WITHOUT_LEADER), name)
                for share, name in ((0.5, "median"), (1, "slowest"))
            ),
            latency=True,
            empty="No shard changed hands",
        ),
        trend(
            "Engines and their share",
            "How many engines each one believes to be up, and how many shards its fair share is. "
            "Different lines for long: an engine is cut off from PostgreSQL.",
            "short",
            Query(f"{series(catalogue.ENGINES)}", "engines, says {{instance}}"),
            Query(f"{series(catalogue.FAIR_SHARE)}", "share of {{instance}}"),
        ),
        trend(
            "Settings not taken over",
            "Stored changes of settings that a process does not go by yet. A moment after each "
            "change is meant; longer: its writer waits for PostgreSQL, or its loop fails.",
            "short",
            Query(f"max by (instance) ({series(catalogue.SETTINGS_BEHIND)})", "{{instance}}"),
        ),
    ),
)

_TICKS = Row(
    "Ticks between processes",
    (
        states(
            "Who writes the ticks",
            "Which feed wrote the ticks for all engines when; the others stand by. None at all: "
            "no engine gets a tick. One process that is everything writes none and needs none.",
            Query(series(catalogue.TICK_WRITER), "{{instance}}"),
            names=_WRITES,
            width=6,
            height=7,
        ),
        trend(
            "Ticks written",
            "Ticks written for all engines, per second. Compare with the quotes on Market data: "
            "they are what engines read of it.",
            "cps",
            Query(rate(series(catalogue.TICKS_WRITTEN), "instance"), "{{instance}}"),
            width=6,
        ),
        trend(
            "Lag of ticks",
            "How far each process is behind the newest tick. Bad: what it triggers, or shows, is "
            "of a price that has passed; look at its event loop, and at Redis.",
            "s",
            Query(f"max by (instance) ({series(catalogue.TICK_LAG)})", "{{instance}}"),
            limit=limit_of("TapewatchTickLagHigh"),
            width=6,
        ),
        trend(
            "Ticks lost",
            "Ticks that were gone before a process had read them, in 5 minutes. Any is bad: sweeps "
            "execute what is still crossed, and what has come back was missed.",
            "short",
            Query(increase(series(catalogue.TICKS_LOST), "instance", window="5m"), "{{instance}}"),
            width=6,
        ),
    ),
)

_REQUESTS = Row(
    "Requests between processes",
    (
        trend(
            "Requests that wait",
            "Requests each gateway has sent that no engine has answered yet. It is the rate of "
            "commands times their duration; a line that only climbs: an engine does not answer.",
            "short",
            Query(f"max by (instance) ({series(catalogue.BUS_OUTSTANDING)})", "{{instance}}"),
        ),
        trend(
            "Asked again",
            "Requests sent once more per second, since a second brought no answer. Some while a "
            "shard changes hands; at other times Redis or an engine is slow.",
            "reqps",
            Query(rate(series(catalogue.BUS_ASKED_AGAIN), "instance"), "{{instance}}"),
        ),
        trend(
            "Unanswered",
            "Requests per second that ended without an answer, by shard: clients were told "
            "UNAVAILABLE. One shard: its engine. All: Redis, or the gateways.",
            "reqps",
            Query(rate(series(catalogue.BUS_UNANSWERED), "shard"), "shard {{shard}}"),
        ),
    ),
)

_ROLES = Row(
    "Roles",
    (
        states(
            "Processes",
            "Which process was up when, by its role. A bar that ends: it was stopped, or died; "
            "another of its role goes on with its work.",
            Query(f"{series(catalogue.ROLE)} == 1", "{{role}} {{instance}}"),
            names={1: ("up", "green")},
            width=12,
            height=8,
            empty="No process says its role",
        ),
        trend(
            "Processors by role",
            "Processor time used per second, by role. Engines: ticks times the shards they hold; "
            "gateways: sockets. What nears the number of its processes needs one more of them.",
            "short",
            Query(
                f"sum by (role) (({series(catalogue.ROLE)} == 1)"
                f" * on (job, instance) group_left () {_CPU})",
                "{{role}}",
            ),
            width=12,
            height=8,
            empty="No process says its role",
        ),
    ),
)

BOARD = Board(
    uids.SHARDS,
    "Shards and roles",
    "Who trades which accounts, how that changes hands, and what goes between processes.",
    (
        Row(
            "Where to begin",
            (
                note(
                    "",
                    "**Has every shard an engine, and do ticks and commands get there?** An "
                    "account is of shard `account_id` modulo the number of shards. A red bar below "
                    "says which shard nobody traded, and when; **Leaders** says who did. One "
                    "process that is everything has one shard or more and nothing on the bus.",
                ),
            ),
        ),
        _NOW,
        _WHO,
        _TICKS,
        _REQUESTS,
        _ROLES,
    ),
)
