"""Accounts and risk: margin, stop-outs, swaps, and whether memory and books agree."""

from dashboards import uids
from dashboards.board import Board, Row
from dashboards.charts import trend
from dashboards.panel import limit_of
from dashboards.query import Query, increase, rate, series
from dashboards.tiles import note, tile
from telemetry import catalogue

_ALARM = ((None, "green"), (1, "red"))

_NOW = Row(
    "Is everybody treated right?",
    (
        tile(
            "Accounts that faulted",
            "Accounts whose rules raised an error, over the time shown. Each is left alone, not "
            "even stopped out, until it is loaded anew: the log names it, follow the runbook.",
            "short",
            Query(increase(series(catalogue.ACCOUNT_FAULTS)), "faulted"),
            steps=_ALARM,
        ),
        tile(
            "Memory repaired",
            "Orders and accounts whose memory was not what is stored, over the time shown. It "
            "stays 0; else clients were traded on wrong figures: follow the runbook.",
            "short",
            Query(increase(series(catalogue.RECONCILED_ORDERS)), "repaired"),
            steps=_ALARM,
        ),
        tile(
            "Unpriced positions",
            "Open positions without a price or a conversion rate now. Their accounts are neither "
            "called nor stopped out: see which symbol has no quotes on Market data.",
            "short",
            Query(f"sum({series(catalogue.UNPRICED_POSITIONS)})", "unpriced"),
            steps=_ALARM,
        ),
        tile(
            "Stopped out in 5 minutes",
            "Positions stopped out in the last 5 minutes. Many at once: a fast market or a wrong "
            "price; compare with another source before dealing answers the clients.",
            "short",
            Query(
                increase(series(catalogue.ORDERS_CLOSED, reason="STOP_OUT"), window="5m"),
                "stopped out",
            ),
            limit=limit_of("TapewatchStopOutBurst"),
        ),
        tile(
            "Open positions",
            "Open positions in memory. A sudden fall is bad: a shard lost its engine, or somebody "
            "closed everything.",
            "short",
            Query(f"sum({series(catalogue.OPEN_POSITIONS)})", "open"),
        ),
        tile(
            "Swaps owed",
            "Positions that owe the swap of a rollover now. It falls to 0 soon after the rollover; "
            "if it does not, they have no rate: see unpriced positions and the loop rollover.",
            "short",
            Query(f"sum({series(catalogue.SWAPS_OWED)})", "owed"),
            steps=((None, "green"), (1, "orange")),
        ),
    ),
)

_MARGIN = Row(
    "Margin",
    (
        trend(
            "Margin calls",
            "Accounts per second that fell below their margin call level, and that recovered. "
            "Calls without recoveries in a fast market come before stop-outs.",
            "cps",
            Query(rate(series(catalogue.MARGIN_CALLS)), "called"),
            Query(rate(series(catalogue.MARGIN_RESTORED)), "restored"),
        ),
        trend(
            "Stop-outs",
            "Positions stopped out in 5 minutes. Beyond the line: a fast market, or a price that "
            "is none; the runbook tells how to find out.",
            "short",
            Query(
                increase(series(catalogue.ORDERS_CLOSED, reason="STOP_OUT"), window="5m"),
                "stopped out",
            ),
            limit=limit_of("TapewatchStopOutBurst"),
        ),
        trend(
            "Negative balances reset",
            "Negative balances set to zero per second, once the account was flat: the broker's "
            "loss. Many: stop-outs came too late, compare with tick to commit.",
            "cps",
            Query(rate(series(catalogue.BALANCE_RESETS)), "reset"),
        ),
    ),
)

_BOOKS = Row(
    "Do memory and books agree?",
    (
        trend(
            "Memory repaired, by kind",
            "What reconciliation repaired in 5 minutes, by kind. It stays 0: follow the runbook.",
            "short",
            Query(increase(series(catalogue.RECONCILED_ORDERS), "kind", window="5m"), "{{kind}}"),
            width=6,
        ),
        trend(
            "Conflicting writes",
            "Decisions refused in 5 minutes because a stored order or account was not as they "
            "expect it. It stays 0: somebody else wrote to the database, or memory is wrong.",
            "short",
            Query(
                increase(series(catalogue.WRITE_CONFLICTS), "instance", window="5m"),
                "{{instance}}",
            ),
            width=6,
        ),
        trend(
            "Accounts that faulted",
            "Accounts whose rules raised an error, in 5 minutes. It stays 0: the log has the error "
            "and the account.",
            "short",
            Query(
                increase(series(catalogue.ACCOUNT_FAULTS), "instance", window="5m"), "{{instance}}"
            ),
            width=6,
        ),
        trend(
            "Unpriced positions",
            "Open positions without a price or a conversion rate. Bad when it stays: a symbol, or "
            "one to convert by, has no quotes.",
            "short",
            Query(f"sum by (instance) ({series(catalogue.UNPRICED_POSITIONS)})", "{{instance}}"),
            line=1,
            width=6,
        ),
    ),
)

_JOBS = Row(
    "Swaps and portfolios",
    (
        trend(
            "Swaps charged",
            "Swaps posted per second: a peak at each rollover. No peak: the loop rollover failed.",
            "cps",
            Query(rate(series(catalogue.SWAPS_CHARGED)), "charged"),
            width=6,
        ),
        trend(
            "Swaps owed",
            "Positions that owe the swap of a rollover. Bad when it stays above 0.",
            "short",
            Query(f"sum({series(catalogue.SWAPS_OWED)})", "owed"),
            width=6,
        ),
        trend(
            "Accounts valued",
            "Accounts the portfolio job came to per second, by what became of them. failed: the "
            "log says why; unpriced: a symbol has no quotes.",
            "cps",
            Query(rate(series(catalogue.PORTFOLIO_ACCOUNTS), "result"), "{{result}}"),
            width=6,
            stacked=True,
        ),
        trend(
            "Prices of the portfolio job",
            "Group prices the job took per second, by source. last_known or none in numbers: the "
            "cache of prices is stale, see Redis and the loop prices.",
            "cps",
            Query(rate(series(catalogue.PORTFOLIO_PRICES), "source"), "{{source}}"),
            width=6,
            stacked=True,
        ),
    ),
)

BOARD = Board(
    uids.ACCOUNTS,
    "Accounts and risk",
    "Margin, stop-outs, swaps, and whether memory and books agree.",
    (
        Row(
            "Where to begin",
            (
                note(
                    "",
                    "**Is every account treated right?** Any red tile touches clients' money: "
                    "follow its runbook first and look for causes afterwards. Stop-outs in numbers "
                    "are the market's or a wrong price's; see Market data and WebSocket for what "
                    "the guards refused.",
                ),
            ),
        ),
        _NOW,
        _MARGIN,
        _BOOKS,
        _JOBS,
    ),
)
