"""Market data and its way to the clients: the feed, the guards, and the client sockets."""

from dashboards import uids
from dashboards.board import Board, Row
from dashboards.charts import states, trend
from dashboards.limits import newest_quote, of_feeds, slow_messages
from dashboards.panel import NO_YES, limit_of
from dashboards.query import Query, age, count, increase, quantile, quantiles, rate, series
from dashboards.tiles import note, tile
from telemetry import catalogue

# What cannot be read reaches no engine, and what comes after hours is no fault of the feed.
# A feed that writes for engines elsewhere has no other quotes than it writes.
_REFUSED_SHARE = (
    f"{rate(series(catalogue.QUOTES_REFUSED, reason_not='session_closed'), 'instance')}"
    f" / ({rate(series(catalogue.QUOTES), 'instance')}"
    f" + {rate(series(catalogue.TICKS_WRITTEN), 'instance')}"
    f" + {rate(series(catalogue.QUOTES_REFUSED, reason='malformed'), 'instance')}"
    f" - {rate(series(catalogue.QUOTES_REFUSED, reason='session_closed'), 'instance')})"
)

_FEED_NOW = Row(
    "The feed now",
    (
        tile(
            "Symbols in session",
            "Symbols whose market is open by their sessions and the clock. 0 at the weekend is "
            "right, and alerts about silence rest meanwhile.",
            "short",
            Query(f"max(sum by (instance) ({series(catalogue.IN_SESSION)}))", "open"),
            width=4,
        ),
        newest_quote(4),
        tile(
            "Last message of the feed",
            "Age of the feed's last message, heartbeats included, of the instance that waits "
            "longest. Old while the connection stands: the provider hangs, connect elsewhere.",
            "s",
            Query(f"max({of_feeds(age(catalogue.FEED_LAST_MESSAGE))})", "age"),
            steps=((None, "green"), (15, "red")),
            width=4,
        ),
        states(
            "The feed delivers",
            "When each instance had a live feed. Red: it reconnects, with growing pauses; the "
            "reason is in the log of the feed.",
            Query(of_feeds(series(catalogue.FEED_HEALTHY)), "{{instance}}"),
            names=NO_YES,
            width=12,
            height=4,
        ),
    ),
)

_QUOTES = Row(
    "Quotes: rate, errors, age",
    (
        trend(
            "Quotes",
            "Quotes that reached each process that trades, per second. None in an open market is "
            "bad; a multiple of the usual shows in Event-loop lag on Telemetry and process.",
            "cps",
            Query(rate(series(catalogue.QUOTES), "instance"), "{{instance}}"),
            width=6,
        ),
        trend(
            "Refused quotes",
            "Quotes the guards refused, per second and reason; they trigger nothing. jump and "
            "stale are the provider's: compare prices elsewhere before you trust either.",
            "cps",
            Query(rate(series(catalogue.QUOTES_REFUSED), "reason"), "{{reason}}"),
            width=6,
            stacked=True,
        ),
        trend(
            "Share of quotes that are refused",
            "Of all quotes, those refused for another reason than a closed session. Bad: the "
            "market the clients trade on is not the market; the runbook tells what to close.",
            "percentunit",
            Query(_REFUSED_SHARE, "{{instance}}"),
            limit=limit_of("TapewatchFeedQuotesRefused"),
            width=6,
            empty="No quote arrived",
        ),
        trend(
            "Age of quotes on arrival",
            "How old quotes are by their own time when they arrive; one in 10 ms is looked at. "
            "Bad: the network or the provider is slow, or one of the two clocks is wrong.",
            "s",
            *quantiles(catalogue.QUOTE_AGE),
            latency=True,
            width=6,
            empty="No quote arrived",
        ),
        trend(
            "Age of the last quote by symbol",
            "Of symbols in session: how long each has been without an accepted quote. A quiet "
            "symbol may rest for a while; one that is traded a lot may not.",
            "s",
            Query(
                f"min by (symbol) ({age(catalogue.LAST_QUOTE)} "
                f"and {series(catalogue.IN_SESSION)} == 1)",
                "{{symbol}}",
            ),
            limit=limit_of("TapewatchSymbolSilent"),
            width=12,
            empty="No symbol is in session",
        ),
        trend(
            "Connections made anew",
            "Connections to the feed made anew in 5 minutes. Bad: the provider closes or the "
            "network cuts; the log says which.",
            "short",
            Query(
                increase(series(catalogue.FEED_RECONNECTS), "instance", window="5m"),
                "{{instance}}",
            ),
            limit=limit_of("TapewatchFeedReconnecting"),
            width=12,
        ),
    ),
)

_MESSAGES = Row(
    "Client sockets: messages, errors, duration",
    (
        slow_messages(),
        trend(
            "Messages from clients",
            "Messages clients sent, per second and type. invalid is a client's mistake; a flood of "
            "one type is a client gone wild: find it in the log of the sockets.",
            "cps",
            Query(rate(count(catalogue.SOCKET_PROCESSING), "type"), "{{type}}"),
            width=6,
            stacked=True,
        ),
        trend(
            "Handling of a message",
            "How long handling a client's message takes. Bad: the event loop is held up; the dots "
            "are traces of the slow ones.",
            "s",
            *quantiles(catalogue.SOCKET_PROCESSING),
            latency=True,
            width=6,
            empty="No client sent a message",
        ),
        trend(
            "Fan-out of prices",
            "From a group's new prices to the last of its sockets. Bad: too many sockets for one "
            "process, or clients that do not read: see what waits.",
            "s",
            *quantiles(catalogue.SOCKET_FANOUT),
            latency=True,
            width=6,
            empty="No socket takes prices",
        ),
    ),
)

_SOCKETS = Row(
    "Client sockets: who is connected, and who cannot keep up",
    (
        trend(
            "Sockets",
            "Open client sockets, and those whose messages wait for room. A fall to 0 is bad: the "
            "leader changed or the load balancer lost it.",
            "short",
            Query(f"sum({series(catalogue.SOCKETS)})", "open"),
            Query(f"sum({series(catalogue.SOCKETS_WAITING)})", "waiting"),
        ),
        trend(
            "Opened and closed",
            "Sockets opened, and closed by reason, per second. error is a bug: search the log; "
            "expired means that clients do not renew their tokens.",
            "cps",
            Query(rate(series(catalogue.SOCKETS_OPENED)), "opened"),
            Query(rate(series(catalogue.SOCKETS_CLOSED), "reason"), "closed: {{reason}}"),
        ),
        trend(
            "Slow clients dropped",
            "Sockets closed in 5 minutes because their clients did not read. Many at once: the "
            "network of a region, or a client release that hangs.",
            "short",
            Query(
                increase(series(catalogue.SOCKETS_CLOSED, reason="slow"), window="5m"), "dropped"
            ),
            limit=limit_of("TapewatchSlowClientsDropped"),
        ),
        trend(
            "Messages to clients",
            "Messages written to clients, per second and type. quotes fall when the market is "
            "quiet; error counts refused commands and subscriptions.",
            "cps",
            Query(rate(series(catalogue.SOCKET_MESSAGES_SENT), "type"), "{{type}}"),
            width=6,
            stacked=True,
        ),
        trend(
            "Messages not sent",
            "Messages clients were not sent, per second. conflated is meant: an older price gave "
            "way to a newer one while the client did not read. closed is what a closed one missed.",
            "cps",
            Query(rate(series(catalogue.SOCKET_MESSAGES_DROPPED), "reason"), "{{reason}}"),
            width=6,
        ),
        trend(
            "Messages that had waited",
            "How many messages had waited for a client when there was room again. Bad near 1000: "
            "its queue is full and it will be dropped.",
            "short",
            Query(quantile(0.5, catalogue.SOCKET_QUEUE), "median"),
            Query(quantile(0.99, catalogue.SOCKET_QUEUE), "99 %"),
            width=6,
            empty="No client was slow",
        ),
        trend(
            "Bytes",
            "Bytes received from and sent to clients, per second. Near the line's capacity, "
            "clients become slow together.",
            "Bps",
            Query(rate(series(catalogue.SOCKET_BYTES), "direction"), "{{direction}}"),
            width=6,
        ),
        trend(
            "Group price messages",
            "Price messages made for groups, per second; each goes to all sockets of its group. "
            "None while quotes come: the loop of prices fails, see Loops.",
            "cps",
            Query(rate(series(catalogue.PRICE_MESSAGES)), "made"),
            width=12,
        ),
        trend(
            "Account events",
            "Events handed to subscribers, and reads of the outbox to close gaps, per second and "
            "cause. Reads by gap or poll that last: Redis loses messages, see Redis.",
            "cps",
            Query(rate(series(catalogue.EVENTS_DELIVERED)), "delivered"),
            Query(rate(series(catalogue.EVENT_CATCHUPS), "cause"), "outbox read: {{cause}}"),
            width=12,
        ),
    ),
)

BOARD = Board(
    uids.MARKET_DATA,
    "Market data and WebSocket",
    "Do quotes come, are they good, and do clients get them.",
    (
        Row(
            "Where to begin",
            (
                note(
                    "",
                    "**Do quotes come, are they good, and do clients get them?** First the feed as "
                    "it is now, then quotes (rate and refusals left, age right), then the client "
                    "sockets. Silence in a closed market is no fault: see how many symbols are in "
                    "session.",
                ),
            ),
        ),
        _FEED_NOW,
        _QUOTES,
        _MESSAGES,
        _SOCKETS,
    ),
)
