"""Redis: whether it answers, the cache in it, its memory, and the events that go through it."""

from dashboards import stores, uids
from dashboards.board import Board, Row
from dashboards.charts import states, trend
from dashboards.limits import cache_misses
from dashboards.panel import DOWN_UP, NO_YES, limit_of
from dashboards.query import RATE, Query, increase, miss_rate, rate, series
from dashboards.tiles import note, tile
from telemetry import catalogue

SYSTEM = "redis"

_NOW = Row(
    "Redis now",
    (
        tile(
            "Redis",
            "Whether Redis answers every instance. Down: trading goes on, reads fall back to "
            "PostgreSQL, clients get their events late. Follow the runbook.",
            "short",
            Query(f"min({series(catalogue.DEPENDENCY_UP, dependency=SYSTEM)})", "Redis"),
            names=DOWN_UP,
        ),
        tile(
            "Differences found",
            "Differences between cache and truth that the audit found and repaired, over the time "
            "shown. It stays 0; else clients were shown wrong figures for a while.",
            "short",
            Query(increase(series(catalogue.CACHE_DIFFERENCES)), "differences"),
            steps=((None, "green"), (1, "red")),
        ),
        tile(
            "Keys evicted",
            "Keys Redis evicted for want of memory, over the time shown. Bad from 1: it is too "
            "small, or something else fills it.",
            "short",
            Query(increase(series(catalogue.REDIS_EVICTED)), "evicted"),
            steps=((None, "green"), (1, "red")),
        ),
        states(
            "Redis answers, and events arrive",
            "When it answered each instance, and when events arrived there by subscription. No "
            "subscription while Redis is up: it is being made anew, events come from the outbox.",
            Query(series(catalogue.DEPENDENCY_UP, dependency=SYSTEM), "answers {{instance}}"),
            Query(series(catalogue.EVENTS_CONNECTED), "events {{instance}}"),
            names=NO_YES,
            width=12,
            height=4,
        ),
    ),
)

_CACHE = Row(
    "The cache",
    (
        trend(
            "Requests",
            "Entries asked of the cache per second, by what came back. error: Redis did not "
            "answer, PostgreSQL was read instead.",
            "cps",
            Query(rate(series(catalogue.CACHE_REQUESTS), "result"), "{{result}}"),
            width=8,
            stacked=True,
        ),
        trend(
            "Requests by cache",
            "Entries asked of each cache per second. One that is asked much more than usual: see "
            "which route on Overview.",
            "cps",
            Query(rate(series(catalogue.CACHE_REQUESTS), "cache"), "{{cache}}"),
            width=8,
            stacked=True,
        ),
        trend(
            "Misses by cache",
            "Share of entries asked of each cache that it did not have. Those of portfolios and of "
            "copies miss whenever nobody asked lately; a change in the others is bad.",
            "percentunit",
            Query(miss_rate("cache"), "{{cache}}"),
            width=8,
            empty="Nothing was asked of the cache",
        ),
        trend(
            "Updates by events",
            "Events taken to the cache per second. absent: nobody reads that account, which is "
            "fine; removed: an entry that missed an event was given up and will be filled anew.",
            "cps",
            Query(rate(series(catalogue.CACHE_UPDATED), "outcome"), "{{outcome}}"),
            width=6,
            stacked=True,
        ),
        trend(
            "Warm-up",
            "Accounts filled into the cache per second when trading begins. Misses are high until "
            "it has ended.",
            "cps",
            Query(rate(series(catalogue.CACHE_WARMED)), "filled"),
            width=6,
        ),
        trend(
            "Audit",
            "Entries per second that were compared with the truth, by what was found. None for an "
            "hour: the loop cache_audit fails, see Loops.",
            "cps",
            Query(rate(series(catalogue.CACHE_AUDITED), "result"), "{{result}}"),
            width=6,
            stacked=True,
        ),
        trend(
            "Differences found",
            "What the audit found to differ and repaired, in 5 minutes, by kind. It stays 0.",
            "short",
            Query(increase(series(catalogue.CACHE_DIFFERENCES), "kind", window="5m"), "{{kind}}"),
            width=6,
        ),
    ),
)

_EVENTS = Row(
    "Events through Redis",
    (
        trend(
            "Events published",
            "Account events published per second: as they were committed, or caught up from the "
            "outbox. outbox that lasts: Redis was away or is slow.",
            "cps",
            Query(rate(series(catalogue.EVENTS_RELAYED), "source"), "{{source}}"),
            width=12,
            stacked=True,
        ),
        states(
            "Committed events wait for Redis",
            "When committed events waited in the outbox to be published. Yes that lasts: clients "
            "learn of their fills late; see whether Redis answers, and what it refuses.",
            Query(series(catalogue.RELAY_BEHIND), "{{instance}}"),
            names={0: ("no", "green"), 1: ("yes", "orange")},
            width=12,
            height=7,
        ),
    ),
)

_SERVER = Row(
    "The server",
    (
        trend(
            "Memory used of what may be",
            "Share of Redis's memory limit in use. Beyond the line it will evict: entries are then "
            "read from PostgreSQL. Raise the limit or find what fills it.",
            "percentunit",
            Query(
                f"max({series(catalogue.REDIS_MEMORY)} "
                f"/ ({series(catalogue.REDIS_MEMORY_MAX)} > 0))",
                "used",
            ),
            limit=limit_of("TapewatchRedisMemoryHigh"),
            width=8,
            empty="Redis has no memory limit",
        ),
        trend(
            "Memory",
            "Memory Redis uses, and may use; a limit of 0 is none. Steady growth without more "
            "accounts: keys without an end.",
            "bytes",
            Query(f"max({series(catalogue.REDIS_MEMORY)})", "used"),
            Query(f"max({series(catalogue.REDIS_MEMORY_MAX)})", "may be"),
            width=8,
        ),
        trend(
            "Keys found and not found",
            "Keys all clients of Redis asked for per second. Not a cache's misses: EXISTS and "
            "first reads count too. A change tells of another client.",
            "ops",
            Query(f"max by (job) (rate({series(catalogue.REDIS_HITS)}[{RATE}]))", "found"),
            Query(f"max by (job) (rate({series(catalogue.REDIS_MISSES)}[{RATE}]))", "not found"),
            width=8,
        ),
        trend(
            "Clients",
            "Clients connected to Redis. If they only grow, somebody does not close connections.",
            "short",
            Query(f"max({series(catalogue.REDIS_CLIENTS)})", "clients"),
            width=12,
        ),
        trend(
            "Evicted keys",
            "Keys Redis evicted for want of memory, per second. Bad above 0: what is evicted is "
            "read from PostgreSQL.",
            "ops",
            Query(f"max by (job) (rate({series(catalogue.REDIS_EVICTED)}[{RATE}]))", "evicted"),
            width=12,
        ),
    ),
)

BOARD = Board(
    uids.REDIS,
    "Redis",
    "The cache, its memory, and the events that go through it.",
    (
        Row(
            "Where to begin",
            (
                note(
                    "",
                    "**Redis is the shared read side.** Without it trading goes on, slower to "
                    "read. A high miss rate after a restart or a flush ends with the warm-up; one "
                    "that stays means evictions. All of it can be lost without losing a trade.",
                ),
            ),
        ),
        _NOW,
        stores.calls(
            SYSTEM,
            "connection: the server is away; timeout: it is slow, or somebody runs a long command.",
            cache_misses(8),
        ),
        _CACHE,
        _EVENTS,
        _SERVER,
        stores.pool(SYSTEM, None),
    ),
)
