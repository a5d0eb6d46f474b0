"""Settings that contradict themselves are refused with the value at fault."""

from decimal import Decimal
from typing import Any

import pytest

from service.domain.checks import check_protection
from service.domain.instrument import FillPolicy, Group, SettingsError
from service.domain.order import OrderType
from service.domain.rejection import RejectCode, Rejected
from tests.unit.domain.floor import Floor, symbol_of, terms_of


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"digits": 9}, "digits"),
        ({"digits": -1}, "digits"),
        ({"contract_size": Decimal(0)}, "contract_size"),
        ({"contract_size": Decimal("NaN")}, "contract_size"),
        ({"min_volume": 0}, "min_lot"),
        ({"min_volume": 200, "max_volume": 100}, "max_lot"),
        ({"volume_step": 0}, "lot_step"),
        ({"trigger_tolerance_points": -1}, "trigger_tolerance_points"),
        ({"max_jump_points": 0}, "max_jump_points"),
    ],
)
def test_an_impossible_symbol_is_refused(changes: dict[str, Any], named: str) -> None:
    changes = {"digits": 5, **changes}
    with pytest.raises(SettingsError, match=named):
        symbol_of("EURUSD", **changes)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"spread": Decimal(-1)}, "spread"),
        ({"spread_pip": Decimal("-0.1")}, "spread_pip"),
        ({"commission": Decimal(-1)}, "commission"),
        ({"margin_factor": Decimal(0)}, "margin_factor"),
    ],
)
def test_impossible_terms_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        terms_of("market", "EURUSD", 5, **changes)


@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize(
    "name", ["spread", "spread_pip", "commission", "swap_long", "swap_short", "margin_factor"]
)
def test_terms_that_are_no_finite_number_are_refused(name: str, value: str) -> None:
    changes: dict[str, Any] = {name: Decimal(value)}
    with pytest.raises(SettingsError, match=f"{name} of group market on EURUSD must be a finite"):
        terms_of("market", "EURUSD", 5, **changes)


@pytest.mark.parametrize(("call", "out"), [(50, 100), (100, -1)])
def test_impossible_levels_are_refused(call: int, out: int) -> None:
    with pytest.raises(SettingsError, match="levels of group gold"):
        Group("gold", Decimal(call), Decimal(out), False, FillPolicy.MARKET)


@pytest.mark.parametrize(
    ("call", "out", "named"),
    [
        ("NaN", "50", "margin_call_level"),
        ("Infinity", "50", "margin_call_level"),
        ("100", "NaN", "stop_out_level"),
        ("100", "-Infinity", "stop_out_level"),
    ],
)
def test_levels_that_are_no_finite_number_are_refused(call: str, out: str, named: str) -> None:
    with pytest.raises(SettingsError, match=f"{named} of group gold must be a finite number"):
        Group("gold", Decimal(call), Decimal(out), False, FillPolicy.MARKET)


@pytest.mark.parametrize(
    ("spread", "pip", "points"),
    [("1.5", "0.0001", 15), ("3", "0.00001", 3), ("0.1", "0.0001", 1), ("0", "0.0001", 0)],
)
def test_a_markup_is_spread_times_pip_in_points(spread: str, pip: str, points: int) -> None:
    terms = terms_of("market", "EURUSD", 5, spread=Decimal(spread), spread_pip=Decimal(pip))
    assert terms.markup_points(5) == points


def test_a_markup_of_broken_points_is_refused_and_changes_nothing() -> None:
    floor = Floor()
    floor.set_terms("market", "EURUSD", markup=3)
    order = floor.rest(OrderType.BUY_LIMIT, 110_000)
    with pytest.raises(SettingsError, match="not a whole number of points"):
        floor.set_terms("market", "EURUSD", spread=Decimal("0.05"), spread_pip=Decimal("0.0001"))
    terms = floor.desk.terms["market", "EURUSD"]
    assert (terms.buy_markup, terms.sell_markup) == (2, 1)
    assert terms.settings.spread == 3
    assert floor.desk.orders[order].trigger == 109_998


def test_the_digits_of_a_traded_symbol_stay() -> None:
    floor = Floor()
    with pytest.raises(SettingsError, match="digits of EURUSD cannot change"):
        floor.desk.set_symbol(symbol_of("EURUSD", 4))


@pytest.mark.parametrize(("group", "symbol"), [("nobody", "EURUSD"), ("market", "XAUUSD")])
def test_terms_of_what_is_not_known_are_refused(group: str, symbol: str) -> None:
    with pytest.raises(SettingsError, match=r"unknown (group|symbol)"):
        Floor().desk.set_terms(terms_of(group, symbol, 5))


@pytest.mark.parametrize("order_type", [OrderType.BUY, OrderType.SELL])
def test_a_stop_loss_at_the_take_profit_is_refused_whatever_the_price(
    order_type: OrderType,
) -> None:
    with pytest.raises(Rejected) as refused:
        check_protection(order_type, None, 110_000, 110_000)
    assert refused.value.code is RejectCode.INVALID_STOP_LOSS
    sign = 1 if order_type is OrderType.BUY else -1
    check_protection(order_type, None, 110_000 - sign, 110_000)
