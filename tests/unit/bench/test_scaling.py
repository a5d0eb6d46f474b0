"""The model of a large broker: what follows from costs that nobody measured."""

from pathlib import Path

import pytest

from tests.bench import scaling
from tests.bench.checkout import ROOT
from tests.bench.engines import conclude, note
from tests.bench.engines_deployment import PARTS
from tests.bench.page import SCALING
from tests.bench.references import typed
from tests.bench.report import Report
from tests.bench.results import FORMAT, PartResults, Results
from tests.bench.scaling import Load, Missing, Model
from tests.unit.bench.made_up import figure, run_of
from tests.unit.bench.test_engines import measured

LOAD = Load(
    accounts=60_000,
    sockets=1_000,
    ticks_per_s=2_000,
    commands_per_s=1_000,
    price_messages_per_s=10,
    moving=0.5,
    portfolio_cycle_s=60,
    database_cores=4,
)


def results(*, per_tick_us: float = 10.0) -> Results:
    """Return a run in which everything costs each part alike, but for Redis by readers."""
    report = Report()
    for engines in (1, 2, 4):
        quiet = dict.fromkeys(PARTS, 0.01) | {"engines": 0.01 * engines}
        ticks = {part: taken + 4_000 * per_tick_us * 1e-6 for part, taken in quiet.items()}
        ticks["engines"] = quiet["engines"] + engines * 4_000 * per_tick_us * 1e-6
        ticks["Redis"] = quiet["Redis"] + 4_000 * (1 + engines) * 1e-6
        commands = {part: taken + 0.1 for part, taken in quiet.items()}
        note(
            report,
            engines,
            measured(quiet, 1_000),
            measured(ticks, 5_000),
            measured(quiet, 100),
            measured(commands, 100, commands_per_s=100),
        )
    conclude(report)
    cycle = figure("portfolio cycle, 10,000 accounts: product: CPU", 100.0)
    parts: dict[str, PartResults] = {
        "engines": run_of(*report.figures),
        "fanout": run_of(
            figure("gateway: server CPU a message", 5.0, "µs"),
            figure("gateway with portfolios: server CPU a message", 30.0, "µs"),
        ),
        "doors": run_of(figure("an idle socket takes of the service", 10.0, "µs/s")),
        "scales": run_of(cycle),
    }
    return Results(parts, FORMAT)


def test_what_divides_is_divided_until_nobody_is_too_busy() -> None:
    needs = {need.what: need for need in Model(results(), LOAD).needs()}
    gateways = needs["gateways"]
    # Each socket: ten messages of 5 µs, every second with a portfolio (55 µs more), 10 µs at rest;
    # 1,000 commands of 1 ms; and 1,000 ticks of 10 µs beyond the quiet ones for each gateway.
    streams = 1_000 * (10 * (5 + 0.5 * 55) + 10) * 1e-6
    each = 0.01 + 1_000 * 10e-6
    assert gateways.number == 3
    assert gateways.share == pytest.approx((streams + 1.0) / 3 + each)
    # 60,000 accounts valued once a minute at 10 µs, and commands.
    assert needs["engines"].share == pytest.approx((1.0 + 0.01) / 3 + each)
    assert needs["feed"].share == pytest.approx(each)
    assert needs["PostgreSQL"].share == pytest.approx(1.0 / 4)
    assert [need.what for need in needs.values() if need.is_alone] == [
        "feed",
        "Redis of the ticks",
        "PostgreSQL",
    ]


def test_redis_hands_a_tick_to_every_reader() -> None:
    model = Model(results(), LOAD)
    assert model.tick_redis(5_000, 5) == pytest.approx(0.01 + 4_000 * 5e-6)
    assert model.tick_redis(5_000, 10) == pytest.approx(0.01 + 4_000 * 10e-6)
    most, rate = model.most_readers(), LOAD.ticks_per_s
    assert model.tick_redis(rate, most) <= scaling.BUSY < model.tick_redis(rate, most + 1)


def test_ticks_that_fill_an_engine_cannot_be_divided() -> None:
    needs = {need.what: need for need in Model(results(per_tick_us=500.0), LOAD).needs()}
    assert needs["engines"].is_alone
    assert needs["engines"].share > scaling.BUSY


def test_the_page_names_the_first_bottleneck() -> None:
    template = f"{scaling.TABLE}\n\nIt is the {scaling.BOTTLENECK}.\n\n{scaling.TICKS}\n"
    said = scaling.page(template, results(), lambda text: text)
    assert "| PostgreSQL (only one) | 3 cores of 16 for commands | 1 | 19% |" in said
    assert "It is the **PostgreSQL**, busy for 19% of what it has; at 50% it bears 2.7 " in said
    assert " readers of 5,000 ticks a second\n" in said
    assert "<!--" not in said


def test_without_a_measurement_it_says_so() -> None:
    parts = dict(results().parts)
    del parts["doors"]
    with pytest.raises(Missing):
        Model(Results(parts, FORMAT), LOAD).needs()
    said = scaling.page(scaling.BOTTLENECK, Results(parts, FORMAT), lambda text: text)
    assert said == scaling.NOT_MEASURED


def test_no_figure_of_the_page_is_typed() -> None:
    template = (ROOT / SCALING).read_text(encoding="utf-8")
    assert typed(template) == []
    for mark in (scaling.TABLE, scaling.BOTTLENECK, scaling.TICKS):
        assert template.count(mark) == 1
    assert Path(ROOT / "deploy" / "SCALING.md").exists()
