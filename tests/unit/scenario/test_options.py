"""The optional columns of scenario files: what they mean, and what they mean when left out."""

from decimal import Decimal
from pathlib import Path

import pytest

from service.domain.order import OrderType
from service.domain.sessions import parse_sessions
from service.scenario.fault import ScenarioError
from service.scenario.folder import DEMO_FOLDER, Scenario, read_scenario
from tests.unit.scenario.folders import GOOD, write_folder

SESSIONS = '"America/New_York: Sun 17:05-Fri 16:55, Sat 10:00-12:00"'
HOUR = 3_600_000_000_000


def optional(name: str, columns: str, cells: list[str]) -> dict[str, list[str]]:
    """Return the change that appends columns to a file, with these cells on its first lines."""
    header, *lines = GOOD[name]
    blank = "," * columns.count(",")
    padded = [*cells, *[blank] * (len(lines) - len(cells))]
    rows = [f"{line},{cell}" for line, cell in zip(lines, padded, strict=True)]
    return {name: [f"{header},{columns}", *rows]}


def with_order(line: str) -> dict[str, list[str]]:
    """Return the change that gives orders.csv all its optional columns, and one line more."""
    changed = optional("orders.csv", "limit_price,trailing_distance,expires_at", [])
    changed["orders.csv"].append(line)
    return changed


def faults_of(folder: Path) -> list[tuple[str, int, str]]:
    with pytest.raises(ScenarioError) as caught:
        read_scenario(folder)
    return [(fault.file, fault.line, fault.field) for fault in caught.value.faults]


def scenario_with(tmp_path: Path, changes: dict[str, list[str]]) -> Scenario:
    return read_scenario(write_folder(tmp_path / "s", changes))


def test_a_folder_without_them_is_always_open_and_charges_three_nights_on_wednesday(
    tmp_path: Path,
) -> None:
    scenario = scenario_with(tmp_path, {})
    assert [symbol.sessions for symbol in scenario.symbols] == [None, None]
    assert [symbol.triple_swap_weekday for symbol in scenario.symbols] == [2, 2]
    assert [group.margin_call_hysteresis for group in scenario.groups] == [Decimal(5)] * 2
    for order in scenario.orders.placed_at(0):
        assert (order.limit_price, order.trailing_distance, order.expires_at) == (None, None, None)


def test_symbols_have_sessions_and_a_day_of_three_nights(tmp_path: Path) -> None:
    columns = "sessions,triple_swap_weekday"
    changes = optional("symbols.csv", columns, [f"{SESSIONS},Fri", ",none"])
    euro, yen = scenario_with(tmp_path, changes).symbols
    assert euro.sessions == parse_sessions(SESSIONS.strip('"'))
    assert (euro.triple_swap_weekday, yen.sessions, yen.triple_swap_weekday) == (4, None, None)


def test_one_of_them_may_be_there_alone(tmp_path: Path) -> None:
    changes = optional("symbols.csv", "triple_swap_weekday", ["Mon"])
    assert [s.triple_swap_weekday for s in scenario_with(tmp_path, changes).symbols] == [0, 2]
    changes = optional("orders.csv", "expires_at", ["2019-01-01T23:30:00Z"])
    first, second, *_ = scenario_with(tmp_path, changes).orders.placed_at(0)
    assert (first.expires_at, second.expires_at) == (1_546_385_400_000_000_000, None)
    assert (first.limit_price, first.trailing_distance) == (None, None)


def test_groups_have_a_hysteresis(tmp_path: Path) -> None:
    changes = optional("groups.csv", "margin_call_hysteresis", ["0", "12.5"])
    groups = scenario_with(tmp_path, changes).groups
    assert [group.margin_call_hysteresis for group in groups] == [Decimal(0), Decimal("12.5")]


def test_a_stop_limit_order_rests_at_its_stop_price(tmp_path: Path) -> None:
    changes = with_order("s,1,EURUSD,BUY_STOP_LIMIT,0.10,1.15,1.14,1.16,1.1490,,")
    *_, order = scenario_with(tmp_path, changes).orders.placed_at(0)
    assert order.order_type is OrderType.BUY_STOP_LIMIT
    assert (order.price, order.limit_price, order.activated_time) == (115_000, 114_900, None)
    assert order.trigger == 115_000 - 7


def test_trailing_and_expiry_after_placing_are_read(tmp_path: Path) -> None:
    changes = with_order("t,1,EURUSD,SELL_LIMIT,0.10,1.15,,,,250,PT1H30M")
    orders = scenario_with(tmp_path, changes).orders
    for placed in (0, 77):
        *_, order = orders.placed_at(placed)
        assert (order.trailing_distance, order.expires_at) == (250, placed + HOUR * 3 // 2)


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("n,1,EURUSD,BUY_STOP_LIMIT,0.10,1.15,,,,,", "limit_price"),
        ("n,1,EURUSD,BUY_STOP_LIMIT,0.10,,,,1.14,,", "price"),
        ("n,1,EURUSD,BUY_STOP_LIMIT,0.10,1.15,,,1.15,,", "limit_price"),
        ("n,1,EURUSD,BUY_STOP_LIMIT,0.10,1.15,,,1.16,,", "limit_price"),
        ("n,1,EURUSD,SELL_STOP_LIMIT,0.10,1.15,,,1.14,,", "limit_price"),
        ("n,1,EURUSD,SELL_STOP_LIMIT,0.10,1.15,,,0,,", "limit_price"),
        ("n,1,EURUSD,SELL_STOP_LIMIT,0.10,1.15,,,1.160001,,", "limit_price"),
        # The stop loss is judged by the price it opens at, which is its limit price.
        ("n,1,EURUSD,BUY_STOP_LIMIT,0.10,1.15,1.145,,1.14,,", "stop_loss"),
        ("n,1,EURUSD,SELL_STOP_LIMIT,0.10,1.15,,1.165,1.16,,", "take_profit"),
        ("n,1,EURUSD,BUY_LIMIT,0.10,1.15,,,1.14,,", "limit_price"),
        ("n,1,EURUSD,BUY,0.10,,,,1.14,,", "limit_price"),
        ("n,1,EURUSD,BUY,0.10,,,,,,PT1H", "expires_at"),
        ("n,1,EURUSD,BUY_LIMIT,0.10,1.15,,,,0,", "trailing_distance"),
        ("n,1,EURUSD,BUY_LIMIT,0.10,1.15,,,,-5,", "trailing_distance"),
        ("n,1,EURUSD,BUY_LIMIT,0.10,1.15,,,,2.5,", "trailing_distance"),
        ("n,1,EURUSD,BUY_LIMIT,0.10,1.15,,,,1000000000000001,", "trailing_distance"),
        ("n,1,EURUSD,BUY_LIMIT,0.10,1.15,,,,,tomorrow", "expires_at"),
        ("n,1,EURUSD,BUY_LIMIT,0.10,1.15,,,,,2019-01-01T23:30:00", "expires_at"),
        ("n,1,EURUSD,BUY_LIMIT,0.10,1.15,,,,,PT", "expires_at"),
        ("n,1,EURUSD,BUY_LIMIT,0.10,1.15,,,,,PT0S", "expires_at"),
        ("n,1,EURUSD,BUY_LIMIT,0.10,1.15,,,,,P1D", "expires_at"),
    ],
)
def test_an_order_at_fault_names_the_field(tmp_path: Path, line: str, field: str) -> None:
    folder = write_folder(tmp_path / "s", with_order(line))
    assert faults_of(folder) == [("orders.csv", len(GOOD["orders.csv"]) + 1, field)]


@pytest.mark.parametrize(
    ("cells", "field"),
    [
        ("Sun 17:05-Fri 16:55,", "sessions"),
        ("Nowhere/At_All: Mon-Fri 08:00-16:30,", "sessions"),
        ("Europe/London: Mon-Fri 25:00-26:30,", "sessions"),
        (",Sat", "triple_swap_weekday"),
        (",3", "triple_swap_weekday"),
    ],
)
def test_a_symbol_at_fault_names_the_field(tmp_path: Path, cells: str, field: str) -> None:
    changes = optional("symbols.csv", "sessions,triple_swap_weekday", [cells])
    assert faults_of(write_folder(tmp_path / "s", changes)) == [("symbols.csv", 2, field)]


@pytest.mark.parametrize("cell", ["-1", "much"])
def test_a_hysteresis_at_fault_names_the_field(tmp_path: Path, cell: str) -> None:
    changes = optional("groups.csv", "margin_call_hysteresis", [cell])
    found = faults_of(write_folder(tmp_path / "s", changes))
    assert found == [("groups.csv", 2, "margin_call_hysteresis")]


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ("triple_swap_weekday,sessions", ""),
        ("sessions,sessions", ""),
        ("sessions,swap_day", "swap_day"),
        ("trading_state", "trading_state"),
    ],
)
def test_they_come_in_order_and_once(tmp_path: Path, columns: str, field: str) -> None:
    folder = write_folder(tmp_path / "s", optional("symbols.csv", columns, []))
    assert faults_of(folder) == [("symbols.csv", 1, field)]


def test_the_demo_shows_every_kind_of_order_and_trades_on_weekends() -> None:
    scenario = read_scenario(DEMO_FOLDER)
    orders = list(scenario.orders.placed_at(HOUR))
    assert {order.order_type for order in orders} == set(OrderType)
    assert any(order.trailing_distance for order in orders)
    expiries = [order.expires_at for order in orders if order.expires_at is not None]
    assert min(expiries) > HOUR
    assert {symbol.sessions for symbol in scenario.symbols} == {None}
