"""Generated scenarios: the same bytes from the same seed, no fault, and something happens."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from service.domain.account import Account
from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.instrument import FillPolicy, UserType
from service.domain.quote import REPLAY_GUARD, QuoteRefusal
from service.scenario.folder import DEMO_FOLDER, Scenario, read_scenario
from service.scenario.make import make_scenario
from service.scenario.ticks import read_ticks


def make(
    folder: Path, *, seed: int = 7, ticks: int = 4_000, ticks_file: Path | None = None
) -> dict[str, bytes]:
    make_scenario(
        folder,
        seed=seed,
        accounts=66,
        groups=5,
        orders=600,
        symbols=6,
        ticks=ticks,
        ticks_file=ticks_file,
    )
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def replay(scenario: Scenario, ticks: Path) -> Counter[str]:
    """Count what happens on an engine alone."""
    desk = Desk()
    for symbol in scenario.symbols:
        desk.set_symbol(symbol)
    for group in scenario.groups:
        desk.set_group(group)
    for terms in scenario.group_symbols:
        desk.set_terms(terms)
    for row in scenario.accounts:
        desk.accounts[row.account_id] = Account(
            row.account_id, row.user_type, desk.groups[row.group], row.leverage, row.balance
        )
    engine = Engine(desk, REPLAY_GUARD)
    engine.load(scenario.orders.placed_at(0))
    happened: Counter[str] = Counter()
    malformed: list[object] = []
    symbols = {symbol.name: symbol for symbol in scenario.symbols}
    for quote in read_ticks(ticks, symbols, malformed.append):
        result = engine.on_quote(quote, quote.time)
        assert not isinstance(result, QuoteRefusal)
        for decision in result:
            assert decision.deal is not None
            happened[decision.deal.event] += 1
            happened[decision.deal.reason] += 1
    assert malformed == []
    return happened


def test_the_same_seed_makes_the_same_bytes(tmp_path: Path) -> None:
    first = make(tmp_path / "a")
    assert first == make(tmp_path / "b")
    other = make(tmp_path / "c", seed=8)
    assert all(first[name] != other[name] for name in ("ticks.csv", "orders.csv", "accounts.csv"))


def test_a_made_scenario_is_without_fault_and_has_all_kinds(tmp_path: Path) -> None:
    make(tmp_path / "a")
    scenario = read_scenario(tmp_path / "a")
    assert {account.user_type for account in scenario.accounts} == set(UserType)
    assert {group.fill_policy for group in scenario.groups} == set(FillPolicy)
    orders = list(scenario.orders.placed_at(0))
    assert len({order.order_type for order in orders}) == 6
    assert any(order.stop_loss for order in orders)
    markups = {terms.markup_points(5) for terms in scenario.group_symbols if "USD" in terms.symbol}
    assert any(markup % 2 for markup in markups)


def test_a_made_scenario_triggers_a_good_share(tmp_path: Path) -> None:
    make(tmp_path / "a")
    scenario = read_scenario(tmp_path / "a")
    assert scenario.ticks is not None
    happened = replay(scenario, scenario.ticks)
    assert happened["OPEN"] > 200
    assert happened["STOP_LOSS"] > 0
    assert happened["TAKE_PROFIT"] > 0
    assert happened["INSUFFICIENT_MARGIN"] > 0
    assert happened["OPEN"] > 4 * happened["CANCEL"]


def test_orders_are_set_by_the_market_of_a_ticks_file(tmp_path: Path) -> None:
    ticks = tmp_path / "recorded.csv"
    lines = ["time,symbol,bid,ask"]
    for n in range(400):
        time, swing = f"2019-01-01T23:{n // 60:02d}:{n % 60:02d}.000Z", abs(n % 100 - 50)
        lines.append(f"{time},EURUSD,1.14{600 + swing},1.14{610 + swing}")
        lines.append(f"{time},ODD,7{swing:02d}.5,7{swing:02d}.75")
    ticks.write_text("\n".join(lines) + "\n")

    files = make(tmp_path / "a", ticks_file=ticks)
    assert "ticks.csv" not in files
    scenario = read_scenario(tmp_path / "a")
    assert {symbol.name: symbol.digits for symbol in scenario.symbols} == {"EURUSD": 5, "ODD": 2}
    assert replay(scenario, ticks)["OPEN"] > 200


def test_without_ticks_none_are_written_and_old_ones_go(tmp_path: Path) -> None:
    assert "ticks.csv" in make(tmp_path / "a")
    assert "ticks.csv" not in make(tmp_path / "a", ticks=0)
    assert read_scenario(tmp_path / "a").ticks is None


def test_the_demo_is_what_the_generator_makes_with_more_said_of_some_orders(tmp_path: Path) -> None:
    make_scenario(tmp_path, seed=20, accounts=22, groups=3, orders=200, symbols=8, ticks=0)
    for name in ("accounts.csv", "groups.csv"):
        assert (tmp_path / name).read_bytes() == (DEMO_FOLDER / name).read_bytes()
    made, demo = (_rows(folder / "orders.csv") for folder in (tmp_path, DEMO_FOLDER))
    for plain, order in zip(made, demo, strict=True):
        order["type"] = order["type"].replace("_STOP_LIMIT", "_STOP")
        assert plain.items() <= order.items()


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_more_symbols_than_known_instruments_are_copies(tmp_path: Path) -> None:
    make_scenario(tmp_path / "a", seed=1, accounts=1, groups=1, orders=0, symbols=70, ticks=10)
    names = [symbol.name for symbol in read_scenario(tmp_path / "a").symbols]
    assert len(set(names)) == 70
    assert "EURUSD.3" in names


@pytest.mark.parametrize("ticks_file", ["", "time,symbol,bid,ask\n"])
def test_a_ticks_file_without_ticks_writes_nothing(tmp_path: Path, ticks_file: str) -> None:
    path = tmp_path / "ticks.csv"
    path.write_text(ticks_file)
    with pytest.raises(ValueError, match=r"ticks\.csv"):
        make(tmp_path / "a", ticks_file=path)
    assert not (tmp_path / "a").exists()


def test_counts_must_make_sense(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        make_scenario(tmp_path / "a", seed=1, accounts=0, groups=1, orders=1, symbols=1, ticks=1)
    assert not (tmp_path / "a").exists()
