"""The tables of what was promised read the figures that the parts make."""

from itertools import product

from tests.bench import claims
from tests.bench.acceptance import claims_table, gains, limits_table, missing, rows_of
from tests.bench.claims_contenders import Name
from tests.bench.counted import counted_table
from tests.bench.report import Report
from tests.bench.results import FORMAT, Results
from tests.unit.bench.made_up import figure, run_of

ROWS = (
    "pending burst",
    "SL/TP",
    "message, 100 sockets, 1,000 orders",
    "message, 100 sockets, 10,000 orders",
    "message, 1 socket, 10 orders",
    "portfolio cycle",
)
SPENT = {
    "ms": (300.0, 150.0, 10.0),
    "CPU, ms": (300.0, 250.0, 10.0),
    "CPU of servers, ms": (30.0, 20.0, 10.0),
    "sessions": (30.0, 20.0, 10.0),
    "statements": (100.0, 50.0, 0.0),
    "Redis round trips": (100.0, 110.0, 30.0),
    "log lines": (30.0, 20.0, 10.0),
}


def test_every_row_of_the_report_is_read_from_what_the_claims_conclude() -> None:
    report = Report()
    for row, (what, spent), (number, name) in product(ROWS, SPENT.items(), enumerate(Name)):
        for each in range(3):
            report.add(f"{row}: {name}: {what}", spent[number] * (1 + each))
    for each in range(3):
        report.add(f"first portfolio cycle: {Name.PRODUCT}: ms", 20.0 * (1 + each))
    claims.conclude(report, claims.Sizes())
    results = Results({"claims": run_of(*report.figures)}, FORMAT)
    assert list(missing(results)) == []
    rows = rows_of(results)
    assert all(row.claimed and row.gained and row.over_before and row.over_after for row in rows)
    drawn = gains(rows)
    assert len(drawn) == 8
    assert (drawn[0].claimed, drawn[0].became, drawn[0].now) == ((1.3, 1.5), 2, 30)
    table = {line.split("|")[1].strip(): line for line in claims_table(rows)}
    assert table["pending orders, burst of 1,000"] == (
        "| pending orders, burst of 1,000 | 1.4-1.6× | 2×: more "
        "| 30×, target ≥ 25×: **met** | 15×, target ≥ 10×: **met** |"
    )
    assert "| 1.2-1.35× | 1.2×: as claimed |" in table["portfolio cycle, 10,000 accounts: CPU"]
    assert table["message, 1 socket, 10 resting orders"].endswith("| 30× | 15× |")
    assert (
        "| 15-25 % fewer | 50 % fewer: more | 100 % fewer, target ≥ 95 %: **met** |"
        in (table["statements per 1,000 ticks"])
    )
    assert (
        "| 30-45 % fewer | 10 % more: less | 70 % fewer, target ≥ 95 %: **missed** |"
        in (table["Redis round trips per tick"])
    )

    told = list(counted_table(results.parts["claims"]))
    assert len(told) == 2 + len(ROWS) * len(Name)
    burst = told.index("| pending burst | before | 600 | 600 | 60 | 60 | 200 | 200 | 60 |")
    assert told[burst + 2] == "|  | product | 20 | 20 | 20 | 20 | 0 | 60 | 20 |"


def test_what_was_not_measured_is_not_made_up() -> None:
    rows = rows_of(Results({}, FORMAT))
    assert gains(rows) == []
    assert "| SL/TP, 1,000 triggered among 10,000 |  | not measured |" in "\n".join(
        claims_table(rows)
    )


def test_limits_stand_beside_their_targets() -> None:
    ratio = figure(
        "messages/s, gateway : bare",
        0.9,
        "x",
        interval=(0.85, 0.95),
        target=">= 0.8 x",
        verdict="met",
    )
    lines = list(limits_table(Results({"fanout": run_of(ratio)}, FORMAT)))
    assert "| socket fan-out : bare aiohttp loop | 0.9× [0.85, 0.95] | ≥ 0.8× | met |" in lines
    assert "| Redis cycle : bare pipelines | not measured | | |" in lines


def test_a_figure_that_is_called_otherwise_now_is_noticed() -> None:
    parts = {"fanout": run_of(figure("gateway : bare", 0.9, "x")), "claims": run_of()}
    told = list(missing(Results(parts, FORMAT)))
    assert "part fanout has no figure 'messages/s, gateway : bare'" in told
    assert "part claims lacks figures of the row 'pending orders, burst of 1,000'" in told
