"""Every metric, once: name, kind, labels with their closed values, buckets and help.

Dashboards, alert rules and the service take metrics from here, never by a name of their own. Names
are those of OpenTelemetry's semantic conventions in Prometheus form where they exist, else
`tapewatch_...`; seconds are seconds. A label without `values` is open: its values are known at
start or on first use, and few (symbols, groups, routes, loops). No label is ever an account, an
order or a trace. Thresholds are in `telemetry/thresholds.py`; those of buckets are exact edges.
"""

from dataclasses import dataclass
from enum import Enum

from telemetry import vocabulary
from telemetry.thresholds import (
    DATABASE_QUERY_LIMIT_S,
    SCRAPE_STALL_LIMIT_S,
    TRIGGER_COMMIT_LIMIT_S,
    WEBSOCKET_PROCESSING_LIMIT_S,
)

GENERATIONS = ("0", "1", "2")


class Kind(Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Label:
    """A label; `values` is the closed set it takes, None where it is open."""

    name: str
    values: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as declared. `unit` is what its value counts, `buckets` the edges of a histogram."""

    name: str
    kind: Kind
    help: str
    unit: str = ""
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()


METRICS: list[Metric] = []


def _counter(name: str, help: str, unit: str, *labels: Label) -> Metric:
    return _declare(Metric(name, Kind.COUNTER, help, unit, labels))


def _gauge(name: str, help: str, unit: str, *labels: Label) -> Metric:
    return _declare(Metric(name, Kind.GAUGE, help, unit, labels))


def _histogram(
    name: str, help: str, unit: str, buckets: tuple[float, ...], *labels: Label
) -> Metric:
    return _declare(Metric(name, Kind.HISTOGRAM, help, unit, labels, buckets))


def _declare(metric: Metric) -> Metric:
    METRICS.append(metric)
    return metric


# Edges, in seconds unless said otherwise.
_OPERATION_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, DATABASE_QUERY_LIMIT_S, 1, 5, 10)
_TRIGGER_S = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.01, 0.1, 1)
_AGE_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_COMMIT_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, TRIGGER_COMMIT_LIMIT_S, 0.25),
    *(DATABASE_QUERY_LIMIT_S, 1, 5, 30),
)
_REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_PROCESSING_S = (0.0001, 0.001, 0.005, 0.025, WEBSOCKET_PROCESSING_LIMIT_S, 0.5, 1, 5)
_RUN_S = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 30, 60)
_WITHOUT_LEADER_S = (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 300)
_RECOVERY_S = (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_PAUSE_S = (0.001, 0.0025, SCRAPE_STALL_LIMIT_S, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)
_BATCH = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_POINTS = (-100, -50, -20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 50, 100)

# Quotes
QUOTES = _counter("tapewatch_quotes_total", "Quotes that reached the engine.", "quotes")
QUOTES_REFUSED = _counter(
    "tapewatch_quotes_refused_total",
    "Quotes the guards refused; they trigger nothing.",
    "quotes",
    Label("reason", vocabulary.REFUSALS),
)
LAST_QUOTE = _gauge(
    "tapewatch_last_quote_timestamp_seconds",
    "Unix time of a symbol's last accepted quote, 0 before the first.",
    "seconds",
    Label("symbol"),
)
IN_SESSION = _gauge(
    "tapewatch_symbol_in_session",
    "1 while a symbol is in session, by its trading sessions and the clock, else 0.",
    "",
    Label("symbol"),
)
QUOTE_AGE = _histogram(
    "tapewatch_quote_age_seconds",
    "Age of a quote when it arrived, by its own time; one in 10 ms is looked at.",
    "seconds",
    _AGE_S,
)
FEED_RECONNECTS = _counter(
    "tapewatch_feed_reconnects_total", "Connections to the feed made anew.", "connections"
)
FEED_HEALTHY = _gauge("tapewatch_feed_healthy", "1 while the feed delivers, else 0.", "")
FEED_LAST_MESSAGE = _gauge(
    "tapewatch_feed_last_message_timestamp_seconds",
    "Unix time of the last message of the feed.",
    "seconds",
)

# Orders
TRIGGERED = _counter(
    "tapewatch_triggers_total",
    "Triggers that a quote fired, by order type or protection.",
    "orders",
    Label("trigger", vocabulary.TRIGGERS),
)
TRIGGER_ENTRIES = _counter(
    "tapewatch_trigger_entries_total",
    "Entries of the trigger books that quotes crossed: a live order's trigger, an account's price "
    "band, or one whose order or band had moved on.",
    "entries",
    Label("result", vocabulary.TRIGGER_ENTRIES),
)
MISSED_TRIGGERS = _counter(
    "tapewatch_missed_triggers_total",
    "Triggers and expiries that only the sweep found; it stays 0.",
    "orders",
    Label("trigger", vocabulary.MISSED),
)
ACCOUNT_FAULTS = _counter(
    "tapewatch_account_faults_total",
    "Accounts whose rules raised; each is left alone until it is loaded anew, the others go on.",
    "accounts",
)
RECONCILED_ORDERS = _counter(
    "tapewatch_reconciled_orders_total",
    "Live orders, and accounts, whose memory was not what is stored, and was repaired; it stays 0.",
    "orders",
    Label("kind", vocabulary.RECONCILED),
)
DEFERRED_TRIGGERS = _counter(
    "tapewatch_deferred_triggers_total",
    "Fired triggers that stay armed for want of a conversion rate or a group price.",
    "orders",
)
ORDERS_PLACED = _counter(
    "tapewatch_orders_placed_total",
    "Pending orders placed.",
    "orders",
    Label("type", vocabulary.ORDER_TYPES),
)
ORDERS_OPENED = _counter(
    "tapewatch_orders_opened_total",
    "Orders opened.",
    "orders",
    Label("type", vocabulary.ORDER_TYPES),
)
ORDERS_CLOSED = _counter(
    "tapewatch_orders_closed_total",
    "Orders closed.",
    "orders",
    Label("reason", vocabulary.CLOSE_REASONS),
)
ORDERS_CANCELLED = _counter(
    "tapewatch_orders_cancelled_total",
    "Orders cancelled.",
    "orders",
    Label("reason", vocabulary.CANCEL_REASONS),
)
SLIPPAGE = _histogram(
    "tapewatch_slippage_points",
    "Points between the price asked for and the fill; positive is worse for the client.",
    "points",
    _POINTS,
    Label("trigger", vocabulary.TRIGGERS),
)
ORDERS_ACTIVATED = _counter(
    "tapewatch_orders_activated_total",
    "Stop-limit orders whose stop price was reached.",
    "orders",
    Label("type", ("BUY_STOP_LIMIT", "SELL_STOP_LIMIT")),
)
TRAILING_MOVES = _counter(
    "tapewatch_trailing_moves_total", "Stop losses that followed the price.", "orders"
)
PARTIAL_CLOSES = _counter("tapewatch_partial_closes_total", "Parts of positions closed.", "orders")
CORRECTIONS = _counter("tapewatch_corrections_total", "Deals taken back.", "deals")
MARGIN_CALLS = _counter(
    "tapewatch_margin_calls_total", "Accounts that fell below their margin call level.", "accounts"
)
MARGIN_RESTORED = _counter(
    "tapewatch_margin_restored_total", "Accounts that recovered from a margin call.", "accounts"
)
BALANCE_RESETS = _counter(
    "tapewatch_balance_resets_total",
    "Negative balances reset to zero once the account was flat.",
    "accounts",
)
SWAPS_CHARGED = _counter("tapewatch_swaps_charged_total", "Swaps posted to accounts.", "orders")
SWAPS_OWED = _gauge("tapewatch_swaps_owed", "Positions that owe the swap of a rollover.", "orders")
UNPRICED_POSITIONS = _gauge(
    "tapewatch_unpriced_positions", "Open orders without a price or a conversion rate.", "orders"
)
RESTING_ORDERS = _gauge("tapewatch_resting_orders", "Pending orders.", "orders")
OPEN_POSITIONS = _gauge("tapewatch_open_positions", "Open orders.", "orders")

# Writing
TICK_TO_TRIGGER = _histogram(
    "tapewatch_tick_to_trigger_seconds",
    "From the arrival of a quote that triggers something to its decisions.",
    "seconds",
    _TRIGGER_S,
)
TICK_TO_COMMIT = _histogram(
    "tapewatch_tick_to_commit_seconds",
    "From a quote's arrival to the commit of what it triggered.",
    "seconds",
    _COMMIT_S,
)
COMMIT = _histogram("tapewatch_commit_seconds", "Duration of a group commit.", "seconds", _COMMIT_S)
COMMIT_SIZE = _histogram("tapewatch_commit_decisions", "Decisions in a commit.", "", _BATCH)
DECISIONS = _counter(
    "tapewatch_decisions_total",
    "Decisions by what became of them.",
    "",
    Label("outcome", vocabulary.OUTCOMES),
)
WRITE_CONFLICTS = _counter(
    "tapewatch_write_conflicts_total",
    "Decisions refused as a stored order or account was not as they expect it; failed ones, too.",
    "",
)
WRITER_QUEUE = _gauge("tapewatch_writer_queue_decisions", "Decisions waiting for a commit.", "")

# Roles, shards, and what goes between processes (nothing, where one process is everything)
ROLE = _gauge(
    "tapewatch_role",
    "1 for the role this process was started in, else 0.",
    "",
    Label("role", vocabulary.ROLES),
)
SHARD_LED = _gauge(
    "tapewatch_shard_led", "1 while this process trades the shard, else 0.", "", Label("shard")
)
SHARD_TAKEN = _counter(
    "tapewatch_shard_taken_total",
    "Times this process began to trade the shard, by how the lease had become free.",
    "",
    Label("shard"),
    Label("reason", vocabulary.SHARD_TAKEN),
)
SHARDS_LEFT = _counter(
    "tapewatch_shards_left_total",
    "Times this process stopped trading a shard, by why.",
    "",
    Label("reason", vocabulary.SHARD_LEFT),
)
WITHOUT_LEADER = _histogram(
    "tapewatch_shard_without_leader_seconds",
    "From the end of a lease, given up or run out, to trading under the next; loading included.",
    "seconds",
    _WITHOUT_LEADER_S,
)
ENGINES = _gauge(
    "tapewatch_engines", "Engines that are up, as this one sees it; 0 where none shares.", ""
)
FAIR_SHARE = _gauge(
    "tapewatch_fair_share_shards",
    "Shards this engine may trade for its fair share; 0 where none shares.",
    "shards",
)
SETTINGS_BEHIND = _gauge(
    "tapewatch_settings_behind",
    "Changes of settings that are stored, and that this process has not taken over yet.",
    "changes",
)
TICK_WRITER = _gauge(
    "tapewatch_tick_writer", "1 while this process writes the ticks for all engines, else 0.", ""
)
TICKS_WRITTEN = _counter(
    "tapewatch_ticks_written_total", "Ticks written for all engines to read.", "ticks"
)
TICK_LAG = _gauge(
    "tapewatch_tick_lag_seconds",
    "How far behind the newest written tick this process reads; 0 when it has read all.",
    "seconds",
)
TICKS_LOST = _counter(
    "tapewatch_ticks_lost_total",
    "Ticks that could not be written in time, or were gone before this process had read them; it "
    "stays 0.",
    "ticks",
)
BUS_OUTSTANDING = _gauge(
    "tapewatch_bus_outstanding_requests",
    "Requests this process has sent to engines that have no answer yet.",
    "requests",
)
BUS_ASKED_AGAIN = _counter(
    "tapewatch_bus_asked_again_total",
    "Requests to engines that were sent once more, for want of an answer.",
    "requests",
)
BUS_UNANSWERED = _counter(
    "tapewatch_bus_unanswered_total",
    "Requests to the engine of a shard that had no answer in time, or found too many waiting.",
    "requests",
    Label("shard"),
)

# Commands
COMMAND = _counter(
    "tapewatch_commands_total",
    "Commands by their answer.",
    "commands",
    Label("command", vocabulary.COMMANDS),
    Label("code", vocabulary.COMMAND_CODES),
)
COMMAND_S = _histogram(
    "tapewatch_command_seconds",
    "From a command's arrival to its answer, commit included.",
    "seconds",
    _REQUEST_S,
    Label("command", vocabulary.COMMANDS),
)

# Stores
DEPENDENCY_UP = _gauge(
    "tapewatch_dependency_up",
    "1 while a server gives answers to this process, asked every 2 s; after 5 s without, else 0.",
    "",
    Label("dependency", vocabulary.DEPENDENCIES),
)
STORE_OPERATION = _histogram(
    "db_client_operation_duration_seconds",
    "Duration of a database or Redis call.",
    "seconds",
    _OPERATION_S,
    Label("db_system_name", ("postgresql", "redis")),
    Label("db_operation_name"),
)
STORE_ERRORS = _counter(
    "tapewatch_db_client_errors_total",
    "Database or Redis calls that failed, by why.",
    "calls",
    Label("db_system_name", ("postgresql", "redis")),
    Label("db_operation_name"),
    Label("error_type", vocabulary.FAILURES),
)
# The convention's present name ends in `_count`, which Prometheus keeps for histograms: its former.
POOL_CONNECTIONS = _gauge(
    "db_client_connections_usage",
    "Pooled connections in use and idle.",
    "connections",
    Label("db_system_name", ("postgresql", "redis")),
    Label("state", ("used", "idle")),
)
POOL_LIMIT = _gauge(
    "db_client_connection_max",
    "Connections a pool may have.",
    "connections",
    Label("db_system_name", ("postgresql", "redis")),
)
POOL_WAITERS = _gauge(
    "db_client_connection_pending_requests",
    "Callers that wait for a connection.",
    "callers",
    Label("db_system_name", ("postgresql", "redis")),
)
POOL_TIMEOUTS = _counter(
    "db_client_connection_timeouts_total",
    "Waits for a connection that ended without one.",
    "waits",
    Label("db_system_name", ("postgresql", "redis")),
)
POOL_WAIT = _histogram(
    "db_client_connection_wait_time_seconds",
    "Wait for a pooled connection, the making of a new one included.",
    "seconds",
    _OPERATION_S,
    Label("db_system_name", ("postgresql", "redis")),
)
POOL_USE = _histogram(
    "db_client_connection_use_time_seconds",
    "From taking a pooled connection to giving it back.",
    "seconds",
    _OPERATION_S,
    Label("db_system_name", ("postgresql", "redis")),
)
REDIS_MEMORY = _gauge("tapewatch_redis_memory_used_bytes", "Memory Redis uses.", "bytes")
REDIS_MEMORY_MAX = _gauge(
    "tapewatch_redis_memory_max_bytes", "Memory Redis may use, 0: no limit.", "bytes"
)
REDIS_EVICTED = _counter(
    "tapewatch_redis_evicted_keys_total", "Keys Redis evicted for want of memory.", "keys"
)
REDIS_HITS = _counter(
    "tapewatch_redis_keyspace_hits_total", "Keys all clients of Redis asked for and got.", "keys"
)
REDIS_MISSES = _counter(
    "tapewatch_redis_keyspace_misses_total",
    "Keys all clients of Redis asked for in vain; not a cache's misses.",
    "keys",
)
REDIS_CLIENTS = _gauge("tapewatch_redis_clients", "Clients connected to Redis.", "clients")
CACHE_REQUESTS = _counter(
    "tapewatch_cache_requests_total",
    "Entries asked of the cache, by what came back.",
    "entries",
    Label("cache", vocabulary.CACHES),
    Label("result", vocabulary.CACHE_RESULTS),
)
CACHE_UPDATED = _counter(
    "tapewatch_cache_updates_total",
    "Events taken to the cache, by what they did to the account's entry.",
    "events",
    Label("outcome", vocabulary.CACHE_UPDATES),
)
CACHE_WARMED = _counter(
    "tapewatch_cache_warmed_accounts_total",
    "Accounts filled into the cache when trading began.",
    "accounts",
)
CACHE_AUDITED = _counter(
    "tapewatch_cache_audited_total",
    "Accounts and groups whose cache entry was compared with the truth, by what was found.",
    "entries",
    Label("result", vocabulary.AUDITS),
)
CACHE_DIFFERENCES = _counter(
    "tapewatch_cache_differences_total",
    "Differences between the cache and the truth that an audit found and repaired; it stays 0.",
    "",
    Label("kind", vocabulary.DIFFERENCES),
)
PORTFOLIO_ACCOUNTS = _counter(
    "tapewatch_portfolio_accounts_total",
    "Accounts the portfolio job came to, by what became of them.",
    "accounts",
    Label("result", vocabulary.VALUATIONS),
)
PORTFOLIO_PRICES = _counter(
    "tapewatch_portfolio_prices_total",
    "Group prices the portfolio job took, by where they came from.",
    "prices",
    Label("source", vocabulary.PRICE_SOURCES),
)

# Events, prices and sockets
EVENTS_DELIVERED = _counter(
    "tapewatch_events_delivered_total", "Account events handed to subscribers.", "events"
)
EVENT_CATCHUPS = _counter(
    "tapewatch_event_catchups_total",
    "Reads of the outbox to close a gap in an account's events.",
    "reads",
    Label("cause", vocabulary.CATCHUPS),
)
EVENTS_RELAYED = _counter(
    "tapewatch_events_relayed_total",
    "Account events published to Redis: as they were committed, or caught up from the outbox.",
    "events",
    Label("source", vocabulary.RELAY_SOURCES),
)
RELAY_BEHIND = _gauge(
    "tapewatch_relay_behind",
    "1 while committed events wait in the outbox to be published to Redis, else 0.",
    "",
)
EVENTS_CONNECTED = _gauge(
    "tapewatch_events_connected", "1 while events arrive by subscription, else 0.", ""
)
PRICE_MESSAGES = _counter(
    "tapewatch_price_messages_total", "Group price messages serialised.", "messages"
)
SOCKETS = _gauge("tapewatch_websocket_connections", "Open client sockets.", "sockets")
SOCKETS_OPENED = _counter(
    "tapewatch_websocket_connections_opened_total", "Client sockets opened.", "sockets"
)
SOCKETS_CLOSED = _counter(
    "tapewatch_websocket_connections_closed_total",
    "Client sockets closed.",
    "sockets",
    Label("reason", vocabulary.SOCKET_CLOSES),
)
SOCKET_PROCESSING = _histogram(
    "tapewatch_websocket_processing_seconds",
    "Handling of one message from a client.",
    "seconds",
    _PROCESSING_S,
    Label("type", vocabulary.SOCKET_MESSAGES),
)
SOCKET_BYTES = _counter(
    "tapewatch_websocket_bytes_total",
    "Received: of text, a character being one; sent: as written, framed and compressed.",
    "bytes",
    Label("direction", ("received", "sent")),
)
SOCKET_FANOUT = _histogram(
    "tapewatch_websocket_fanout_seconds",
    "From a group's new prices to the last of its sockets they were written to, or wait for.",
    "seconds",
    _PROCESSING_S,
)
SOCKETS_WAITING = _gauge(
    "tapewatch_websocket_waiting_connections",
    "Client sockets whose messages wait for room.",
    "sockets",
)
SOCKET_QUEUE = _histogram(
    "tapewatch_websocket_queue_messages",
    "Messages that had waited for a client when there was room again.",
    "messages",
    _BATCH,
)
SOCKET_MESSAGES_SENT = _counter(
    "tapewatch_websocket_messages_sent_total",
    "Messages written to clients.",
    "messages",
    Label("type", vocabulary.SOCKET_SENT),
)
SOCKET_MESSAGES_DROPPED = _counter(
    "tapewatch_websocket_messages_dropped_total",
    "Messages a client was not sent.",
    "messages",
    Label("reason", vocabulary.SOCKET_DROPS),
)
HTTP_REQUEST = _histogram(
    "http_server_request_duration_seconds",
    "Duration of an HTTP request.",
    "seconds",
    _REQUEST_S,
    Label("http_request_method"),
    Label("http_route"),
    Label("http_response_status_code"),
)

# Loops
LOOP_RUNS = _counter(
    "tapewatch_loop_runs_total", "Runs of a loop that began.", "runs", Label("loop")
)
LOOP_ERRORS = _counter(
    "tapewatch_loop_errors_total", "Runs of a loop that failed.", "runs", Label("loop")
)
LOOP_CONSECUTIVE_ERRORS = _gauge(
    "tapewatch_loop_consecutive_errors", "Failed runs since the last good one.", "", Label("loop")
)
LOOP_ERROR_STREAKS = _counter(
    "tapewatch_loop_error_streaks_total",
    "Rows of failed runs that grew longer than the limit: the 6th in a row counts.",
    "",
    Label("loop"),
)
LOOP_LAST_SUCCESS = _gauge(
    "tapewatch_loop_last_success_timestamp_seconds",
    "Unix time a loop's last good run ended.",
    "seconds",
    Label("loop"),
)
LOOP_S = _histogram(
    "tapewatch_loop_seconds", "Duration of a run of a loop.", "seconds", _RUN_S, Label("loop")
)
LOOP_INTERVAL = _gauge(
    "tapewatch_loop_interval_seconds",
    "Present interval of a loop; 0 for one that stands and is well.",
    "seconds",
    Label("loop"),
)
LOOP_RECOVERY = _histogram(
    "tapewatch_loop_recovery_seconds",
    "From the first of a row of failed runs to the first good one.",
    "seconds",
    _RECOVERY_S,
    Label("loop"),
)
LOOP_OVERRUNS = _counter(
    "tapewatch_loop_overruns_total",
    "Runs past their deadline, or without a sign of life for as long.",
    "runs",
    Label("loop"),
)
LOOP_RESTARTS = _counter(
    "tapewatch_loop_restarts_total", "Loops that died and were started again.", "", Label("loop")
)
LOOP_ABANDONED = _counter(
    "tapewatch_loop_abandoned_total", "Runs that did not end when told to.", "runs", Label("loop")
)
LOOP_STUCK = _gauge(
    "tapewatch_loop_stuck", "1 while a run does not end though told to, else 0.", "", Label("loop")
)

# The process and its event loop; names of the Prometheus client libraries where they have one
PROCESS_CPU = _counter("process_cpu_seconds_total", "CPU time spent, user and system.", "seconds")
PROCESS_START = _gauge("process_start_time_seconds", "Unix time the process began.", "seconds")
PROCESS_MEMORY = _gauge("process_resident_memory_bytes", "Resident memory.", "bytes")
PROCESS_VIRTUAL = _gauge("process_virtual_memory_bytes", "Virtual memory.", "bytes")
PROCESS_FILES = _gauge("process_open_fds", "Open file descriptors.", "files")
PROCESS_MAX_FILES = _gauge("process_max_fds", "File descriptors that may be open.", "files")
GC_COLLECTIONS = _counter(
    "python_gc_collections_total", "Garbage collections.", "", Label("generation", GENERATIONS)
)
GC_COLLECTED = _counter(
    "python_gc_objects_collected_total",
    "Objects found unreachable and freed.",
    "objects",
    Label("generation", GENERATIONS),
)
GC_UNCOLLECTABLE = _counter(
    "python_gc_objects_uncollectable_total",
    "Objects found unreachable that cannot be freed.",
    "objects",
    Label("generation", GENERATIONS),
)
GC_PAUSE = _histogram(
    "tapewatch_gc_pause_seconds",
    "Garbage collections, which hold everything up; those of the youngest are not timed.",
    "seconds",
    _PAUSE_S,
    Label("generation", GENERATIONS[1:]),
)
EVENT_LOOP_LAG = _histogram(
    "tapewatch_event_loop_lag_seconds",
    "How late the event loop woke a sampler that asks ten times a second.",
    "seconds",
    _PAUSE_S,
)

# Telemetry itself
SPANS = _counter(
    "tapewatch_spans_total",
    "Spans by what became of them: dropped is what found the queue full, failed what no collector "
    "took in time.",
    "spans",
    Label("outcome", vocabulary.SPAN_OUTCOMES),
)
SLOW = _counter(
    "tapewatch_slow_total",
    "Work that took longer than its limit, by whether it was traced, or told of too often already.",
    "",
    Label("kind", vocabulary.SLOW_KINDS),
    Label("outcome", vocabulary.SLOW_OUTCOMES),
)
LOG_RECORDS = _counter(
    "tapewatch_log_records_total",
    "What was logged, repetitions that were not written included.",
    "records",
    Label("level", vocabulary.LOG_LEVELS),
    Label("area", vocabulary.LOG_AREAS),
)
LOG_DROPPED = _counter(
    "tapewatch_log_records_dropped_total",
    "Log lines that came faster than they could be written, or could not be written.",
    "records",
)
SCRAPE = _histogram(
    "tapewatch_scrape_seconds",
    "Event-loop time that a scrape of /metrics took.",
    "seconds",
    _PAUSE_S,
)
SCRAPE_STALL = _gauge(
    "tapewatch_scrape_stall_seconds",
    "Longest the last scrape held the event loop at once.",
    "seconds",
)
SERIES = _gauge("tapewatch_exported_series", "Series of the last scrape.", "series")
