"""All drills, by alert, and why an alert has none.

`true_s` is the fault's own way to the metric and through the rule's window, with room for a busy
machine.
"""

from tests.drills import backlog, clients, market, processes, stores
from tests.drills.drill import Drill
from tests.drills.shard_drills import SHARD_DRILLS

TWO_MINUTES_S, FIVE_MINUTES_S, TEN_MINUTES_S = 120.0, 300.0, 600.0
CACHE_WARM_S = 120.0

DRILLS = (
    # The service
    Drill(
        "TapewatchInstanceDown",
        processes.killed,
        "kill -9 of the service",
        true_s=15,
    ),
    Drill(
        "TapewatchEventLoopLag",
        clients.starved,
        "the process is stopped (SIGSTOP) for 0.2 s of every 1.2 s",
        true_s=30,
        window_s=TWO_MINUTES_S,
        warm_s=CACHE_WARM_S,
    ),
    # PostgreSQL
    Drill(
        "TapewatchDatabaseDown",
        stores.database_cut,
        "the connections to PostgreSQL are cut and no new ones accepted",
        true_s=20,
        hold_s=90,
    ),
    Drill(
        "TapewatchDatabaseSlow",
        stores.table_locked,
        "another client holds the lock of a table for 1.5 s, again and again",
        true_s=90,
        window_s=FIVE_MINUTES_S,
        labels={"db_operation_name": "quotes"},
    ),
    Drill(
        "TapewatchDatabasePoolExhausted",
        stores.pool_emptied,
        "a table becomes slow, and has more readers at once than the pool has connections",
        true_s=60,
        also={"TapewatchDatabaseSlow": "the wait for a connection is part of a call"},
    ),
    # Redis
    Drill(
        "TapewatchRedisDown",
        stores.redis_cut,
        "the connections to Redis are cut and no new ones accepted",
        true_s=20,
        hold_s=90,
    ),
    Drill(
        "TapewatchCacheMissRateHigh",
        stores.cache_flushed,
        "FLUSHALL twice a second",
        true_s=60,
        window_s=TWO_MINUTES_S,
        labels={"cache": "static_orders"},
        warm_s=CACHE_WARM_S,
    ),
    Drill(
        "TapewatchCacheDiffers",
        stores.cache_tampered_with,
        "another balance is written into a cached account",
        true_s=30,
        window_s=FIVE_MINUTES_S,
        labels={"kind": "balance"},
        settings={"CACHE_AUDIT_INTERVAL_S": 5},
    ),
    Drill(
        "TapewatchRedisMemoryHigh",
        stores.memory_limited,
        "maxmemory is set to little more than what is in use",
        true_s=20,
    ),
    # Loops
    Drill(
        "TapewatchLoopFailing",
        stores.table_gone,
        "the table one loop writes to is taken away",
        true_s=100,
        window_s=TWO_MINUTES_S,
        labels={"loop": "save_quotes"},
    ),
    Drill(
        "TapewatchLoopRecoveredSlowly",
        stores.table_gone_for_a_minute,
        "the table one loop writes to is taken away for a minute",
        true_s=120,
        window_s=TWO_MINUTES_S,
        labels={"loop": "save_quotes"},
    ),
    # The feed
    Drill(
        "TapewatchFeedSilent",
        market.feed_silent,
        "the upstream sends heartbeats and no quotes",
        true_s=35,
        warm_s=CACHE_WARM_S / 2,
        hold_s=120,
    ),
    Drill(
        "TapewatchSymbolSilent",
        market.symbol_silent,
        "the upstream does not quote one symbol",
        true_s=150,
        labels={"symbol": "AUDUSD"},
    ),
    Drill(
        "TapewatchFeedQuotesRefused",
        market.feed_absurd,
        "the bid of three quotes in ten is above the ask",
        true_s=30,
        window_s=TWO_MINUTES_S,
    ),
    Drill(
        "TapewatchFeedReconnecting",
        market.feed_dropping,
        "the upstream drops its connections every 8 s",
        true_s=60,
        window_s=FIVE_MINUTES_S,
    ),
    *SHARD_DRILLS,
    # Trading
    Drill(
        "TapewatchTriggerBudgetBurnsFast",
        backlog.commits_late,
        "a trigger in PostgreSQL makes every commit take 0.12 s",
        true_s=90,
        window_s=FIVE_MINUTES_S,
    ),
    Drill(
        "TapewatchDecisionsFailed",
        stores.deals_refused,
        "a trigger in PostgreSQL refuses the deals of an account, which then trades",
        true_s=60,
        window_s=FIVE_MINUTES_S,
    ),
    Drill(
        "TapewatchWritesFenced",
        processes.leader_stopped,
        "the leader is stopped (SIGSTOP) past its lease with commands on their way to it",
        true_s=30,
        window_s=FIVE_MINUTES_S,
        roles=("all", "all"),
        settings={"LEASE_S": processes.LEASE_S},
    ),
    Drill(
        "TapewatchWriterQueueLong",
        backlog.writer_held,
        "another client locks what every commit writes to, while 250 trailing stops follow a rise",
        true_s=30,
    ),
    Drill(
        "TapewatchMissedTriggers",
        backlog.queue_filled,
        "as for TapewatchWriterQueueLong, until the queue is full and a quote is not judged",
        true_s=120,
        window_s=FIVE_MINUTES_S,
        labels={"trigger": "BUY_STOP"},
        also={
            "TapewatchWriterQueueLong": "the queue is full before anything is missed",
            "TapewatchTriggerBudgetBurnsFast": "two thousand stops that move at once are late too",
            "TapewatchCacheMissRateHigh": "the cache starts over after that many events",
        },
    ),
    # Accounts
    Drill(
        "TapewatchAccountFaulted",
        processes.account_impossible,
        "the service starts with a position that has lost its opening tick, and triggers its stop",
        true_s=40,
        window_s=FIVE_MINUTES_S,
    ),
    Drill(
        "TapewatchMemoryRepaired",
        processes.memory_contradicted,
        "SQL changes the balance of an account",
        true_s=40,
        window_s=FIVE_MINUTES_S,
        labels={"kind": "account"},
    ),
    Drill(
        "TapewatchStopOutBurst",
        market.market_crashed,
        "gold falls by 1.2 % on 40 accounts that have bought all they may",
        true_s=40,
        window_s=FIVE_MINUTES_S,
    ),
    Drill(
        "TapewatchUnpricedPositions",
        processes.rate_unknown,
        "the service starts without a quote of a pair that is needed to convert, and is shut",
        true_s=30,
    ),
    # Clients
    Drill(
        "TapewatchClientsTurnedAway",
        clients.tokens_of_another,
        "whoever issues tokens signs them with a secret that the service was not given",
        true_s=100,
        window_s=TWO_MINUTES_S,
    ),
    Drill(
        "TapewatchRequestsFailing",
        stores.ledger_unreadable,
        "the ledger fails whoever reads it, which one route does",
        true_s=30,
        window_s=FIVE_MINUTES_S,
        labels={"http_route": "/api/v1/account/ledger"},
    ),
    Drill(
        "TapewatchEventsBehind",
        stores.publishing_forbidden,
        "the service's user of Redis may publish no more",
        true_s=20,
        also={"TapewatchCacheMissRateHigh": "what may have missed an event is not believed"},
    ),
    Drill(
        "TapewatchWebSocketSlow",
        clients.held_at_messages,
        "the process is stopped (SIGSTOP) for 0.12 s in the middle of a client's messages",
        true_s=60,
        window_s=TWO_MINUTES_S,
        groups=clients.MANY_GROUPS,
    ),
    Drill(
        "TapewatchSlowClientsDropped",
        clients.clients_deaf,
        "ten clients ask and ask, and never read an answer",
        true_s=60,
        window_s=FIVE_MINUTES_S,
        settings={
            "ACCOUNT_READS_PER_S": 100_000
        },  # or it takes hours until they are too far behind
    ),
    # The monitoring itself
    Drill(
        "TapewatchTelemetryLoss",
        processes.collector_gone,
        "the collector of traces is cut off",
        true_s=60,
        window_s=FIVE_MINUTES_S,
        is_traced=True,
        settings={"TRACE_RATIO": 1.0},
    ),
    Drill(
        "TapewatchNotificationsFailing",
        processes.receiver_gone,
        "the receiver of the heartbeat is cut off",
        true_s=120,
        window_s=FIVE_MINUTES_S,
        labels={"job": "alertmanager"},
    ),
)

NOT_DRILLED = {
    "TapewatchTriggerBudgetBurns": "its windows are three days and six hours, and its `for` a "
    "quarter of an hour: promtool shows that it fires, and TapewatchTriggerBudgetBurnsFast burns "
    "the same budget here",
    "TapewatchLoopStalled": "every wait of a loop is bounded, so that whatever is cut off outside "
    "makes its runs fail, which TapewatchLoopFailing tells first; standing still without failing "
    "takes a defect inside, and promtool shows that it fires",
    "TapewatchWatchdog": "it fires in every drill from the start to the end: none is healthy "
    "before it does, and a soak fails without its heartbeats",
}
