"""The market of a load: quiet quotes trigger nothing that rests for a dip, and a dip all of it."""

import json
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from service.domain.order import OrderType
from service.load.market import MAX_DIPS_KEPT, GroupDips, Market
from service.scenario.times import Times
from service.storage.group_views import GroupSymbolView, PriceView, group_symbol_view
from tests.unit.api.market import make_desk

NOW = 1_700_000_000_123_456_789
_DESK = make_desk()


def views(group: str = "gold") -> list[GroupSymbolView]:
    return [group_symbol_view(terms) for (name, _), terms in _DESK.terms.items() if name == group]


def make_market(*prices: PriceView) -> Market:
    market = Market(views(), prices, Random(1))
    market.quote_only(market.symbols)
    return market


def message(market: Market, time: int = NOW) -> dict[str, Any]:
    name, text = market.next(time)
    decoded: dict[str, Any] = json.loads(text)
    assert decoded["type"] == "quote"
    assert decoded["symbol"] == name
    return decoded


def test_a_quote_tells_its_time_to_the_nanosecond() -> None:
    market = make_market()
    for time in (NOW, NOW + 1, NOW + 10**9, NOW - NOW % 10**9):
        assert Times().read(message(market, time)["time"]) == time


def test_it_starts_at_the_last_price_or_where_the_instrument_usually_is() -> None:
    price = PriceView(symbol="EURUSD", buy="1.20010", sell="1.20000", time="")
    market = make_market(price)
    assert market.unknown == ["EURPLN"]
    seen = {each["symbol"]: each["bid"] for each in (message(market) for _ in range(200))}
    assert abs(Decimal(seen["EURUSD"]) - Decimal("1.2")) < Decimal("0.0005")
    assert abs(Decimal(seen["USDJPY"]) - Decimal("151.32")) < Decimal("0.05")


def test_only_what_is_wanted_is_quoted() -> None:
    market = make_market()
    market.quote_only({"XAUUSD", "somewhere else"})
    assert {message(market)["symbol"] for _ in range(50)} == {"XAUUSD"}
    market.quote_only(())
    assert not market.is_quoting


@pytest.mark.parametrize("order_type", [OrderType.BUY_LIMIT, OrderType.SELL_STOP])
def test_what_rests_for_a_dip_fires_with_it_and_with_no_other_quote(order_type: OrderType) -> None:
    market = make_market()
    market.quote_only({"EURUSD"})
    symbol = market.symbols["EURUSD"]
    price = Decimal(GroupDips("gold", views()).price(symbol, order_type))
    side, markup = ("ask", 1) if order_type is OrderType.BUY_LIMIT else ("bid", -1)

    def dealt_at() -> Decimal:
        return Decimal(message(market)[side]) + markup * Decimal("0.00001")

    assert all(dealt_at() > price for _ in range(50))
    market.dip(symbol)
    assert dealt_at() == price
    assert all(dealt_at() > price for _ in range(50))


def test_a_dip_is_found_by_the_time_that_messages_tell() -> None:
    market = make_market()
    market.dip(market.symbols["EURUSD"])
    message(market)
    assert market.dip_time("2023-11-14T22:13:20.123Z") == NOW
    assert market.dip_time("2023-11-14T22:13:20.124Z") is None


def test_dips_that_are_long_over_are_forgotten() -> None:
    market = make_market()
    for number in range(MAX_DIPS_KEPT + 1):
        market.dip(market.symbols["EURUSD"])
        market.next(NOW + number * 10**9)
        market.next(NOW + number * 10**9)
    assert market.dip_time("2023-11-14T22:13:20.123Z") is None
    assert market.dip_time("2023-11-14T22:13:21.123Z") is not None
