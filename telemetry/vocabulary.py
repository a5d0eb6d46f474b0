"""The closed sets of label values.

Those of the trade repeat the enums of `service/domain`, which telemetry may not import; a test
holds them equal. A reason the service invents must be entered here before it can be counted.
"""

REFUSALS = (
    *("malformed", "unknown_symbol", "not_positive", "crossed"),
    *("out_of_order", "future", "stale", "jump", "session_closed"),
)
ORDER_TYPES = (
    *("BUY", "SELL", "BUY_LIMIT", "SELL_LIMIT", "BUY_STOP", "SELL_STOP"),
    *("BUY_STOP_LIMIT", "SELL_STOP_LIMIT"),
)
TRIGGERS = (*ORDER_TYPES, "STOP_LOSS", "TAKE_PROFIT")
TRIGGER_ENTRIES = ("fired", "band", "gone")
MISSED = (*TRIGGERS, "TRAILING_STOP", "EXPIRY")
RECONCILED = ("missing_in_memory", "missing_in_database", "differs", "account")
CLOSE_REASONS = ("STOP_LOSS", "TAKE_PROFIT", "STOP_OUT", "CLIENT")
CANCEL_REASONS = ("CLIENT", "EXPIRED", "CORRECTED", "INSUFFICIENT_MARGIN", "NO_RATE")
OUTCOMES = ("committed", "failed", "withdrawn", "fenced")
ROLES = ("all", "feed", "engine", "gateway")
SHARD_TAKEN = ("released", "expired")
SHARD_LEFT = ("shutdown", "fair_share", "lost", "failed", "database")
CACHES = ("static_orders", "portfolios", "group_prices", "group_symbols", "group_symbols_copy")
CACHE_RESULTS = ("hit", "miss", "error")
CACHE_UPDATES = ("applied", "absent", "repeated", "removed")
DEPENDENCIES = ("postgresql", "redis")
REDIS_OPERATIONS = (
    *("read_orders", "fill_orders", "apply_events", "remove_accounts"),
    *("read_prices", "write_prices", "read_symbols", "write_symbols", "read_group"),
    *("read_portfolios", "write_portfolios", "subscribe", "ping", "info"),
    *("read_stream", "write_stream"),
    *("tell_generations", "hear_generations"),
)
POSTGRESQL_OPERATIONS = (
    *("commit", "account", "accounts", "live_orders", "orders", "order", "ledger", "deals"),
    *("audit", "dealt"),
    *("events_after", "answer", "load", "lease", "sweep", "reconcile", "quotes", "replay"),
    *("relay", "ping", "connect", "settings", "revocations", "retention"),
)
FAILURES = ("timeout", "connection", "refused", "cancelled", "other")
PRICE_SOURCES = ("cache", "last_known", "none")
VALUATIONS = ("valued", "unpriced", "flat", "failed")
RELAY_SOURCES = ("commit", "outbox")
AUDITS = ("same", "different", "moved", "absent")
DIFFERENCES = (
    *("account", "balance", "margin", "order_missing", "order_extra", "order_differs"),
    *("behind", "ahead", "group_symbols", "group_prices"),
)
CATCHUPS = ("start", "gap", "reconnected", "poll")
COMMANDS = ("place", "modify", "cancel", "close", "fund", "correct", "admin")
REJECT_CODES = (
    *("UNKNOWN_SYMBOL", "UNKNOWN_ACCOUNT", "ACCOUNT_FAULTED", "UNKNOWN_GROUP", "ACCOUNT_EXISTS"),
    *("ORDER_NOT_FOUND", "ORDER_NOT_PENDING", "ORDER_NOT_OPEN"),
    *("INVALID_VOLUME", "INVALID_PRICE", "INVALID_STOP_LOSS", "INVALID_TAKE_PROFIT"),
    *("INVALID_LIMIT_PRICE", "INVALID_TRAILING_DISTANCE", "INVALID_EXPIRY"),
    *("INVALID_AMOUNT", "INVALID_SETTINGS", "WRONG_SIDE_OF_MARKET"),
    *("INSUFFICIENT_MARGIN", "INSUFFICIENT_FUNDS"),
    *("MARKET_CLOSED", "CLOSE_ONLY", "TRADING_HALTED", "DEAL_NOT_FOUND", "DEAL_NOT_CORRECTABLE"),
    *("NO_QUOTE", "NO_RATE"),
)
COMMAND_CODES = ("OK", *REJECT_CODES, "UNAVAILABLE", "WITHDRAWN", "ERROR")
SOCKET_CLOSES = ("client", "slow", "expired", "revoked", "protocol", "shutdown", "error")
SOCKET_MESSAGES = ("subscribe", "unsubscribe", "ping", "invalid")
SOCKET_SENT = (
    *("snapshot", "quotes", "order", "account", "portfolio", "subscribed", "pong", "error"),
)
SOCKET_DROPS = ("conflated", "closed")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOG_AREAS = ("websocket", "orders", "service")
SPAN_OUTCOMES = ("exported", "failed", "dropped")
SLOW_KINDS = ("tick", "message", "query", "commit", "loop")
SLOW_OUTCOMES = ("traced", "limited")
