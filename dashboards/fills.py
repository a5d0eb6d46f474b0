"""The row of orders and their fills: what is placed, opened, closed, and at what price."""

from dashboards.board import Row
from dashboards.charts import trend
from dashboards.promise import NO_TRIGGER
from dashboards.query import Query, buckets, count, quantile, rate, series
from telemetry import catalogue

FILLS = Row(
    "Orders and their fills",
    (
        trend(
            "Placed",
            "Pending orders placed per second, by type. None while clients are there: see refused "
            "commands.",
            "ops",
            Query(rate(series(catalogue.ORDERS_PLACED), "type"), "{{type}}"),
            width=6,
            stacked=True,
        ),
        trend(
            "Opened",
            "Orders opened per second, by type: at the market, or fired. A type that never opens "
            "though it is placed: see missed and deferred triggers.",
            "ops",
            Query(rate(series(catalogue.ORDERS_OPENED), "type"), "{{type}}"),
            width=6,
            stacked=True,
        ),
        trend(
            "Closed by reason",
            "Orders closed per second, by reason. STOP_OUT in numbers is bad: see Accounts and "
            "risk.",
            "ops",
            Query(rate(series(catalogue.ORDERS_CLOSED), "reason"), "{{reason}}"),
            width=6,
            stacked=True,
        ),
        trend(
            "Cancelled by reason",
            "Orders cancelled per second, by reason. NO_RATE: a symbol to convert by has no "
            "quotes; INSUFFICIENT_MARGIN in numbers: clients are short of money.",
            "ops",
            Query(rate(series(catalogue.ORDERS_CANCELLED), "reason"), "{{reason}}"),
            width=6,
            stacked=True,
        ),
        trend(
            "Slippage",
            "Points between the price asked for and the fill, of triggered fills; positive is "
            "worse for the client. Far above the usual: quotes jump, or come late.",
            "short",
            Query(quantile(0.01, catalogue.SLIPPAGE), "best 1 %"),
            Query(quantile(0.5, catalogue.SLIPPAGE), "median"),
            Query(quantile(0.99, catalogue.SLIPPAGE), "worst 1 %"),
            width=8,
            empty=NO_TRIGGER,
        ),
        trend(
            "Fills with slippage",
            "Share of triggered fills that were worse for the client than asked for, by what "
            "fired. Limits never are, any above 0 is a bug; the rest tells of a fast market.",
            "percentunit",
            Query(
                f"1 - {rate(buckets(catalogue.SLIPPAGE, 0), 'trigger')}"
                f" / {rate(count(catalogue.SLIPPAGE), 'trigger')}",
                "{{trigger}}",
            ),
            width=8,
            empty=NO_TRIGGER,
        ),
        trend(
            "Followed, activated, in part, taken back",
            "Stop losses that followed the price, stop-limits whose stop was reached, parts of "
            "positions closed, deals taken back, per second. A wave of corrections is somebody's "
            "decision: ask dealing.",
            "ops",
            Query(rate(series(catalogue.TRAILING_MOVES)), "trailing moves"),
            Query(rate(series(catalogue.ORDERS_ACTIVATED), "type"), "activated {{type}}"),
            Query(rate(series(catalogue.PARTIAL_CLOSES)), "partial closes"),
            Query(rate(series(catalogue.CORRECTIONS)), "corrections"),
            width=8,
        ),
    ),
)
