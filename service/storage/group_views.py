"""What a group sees of the market: its prices and the terms it trades on, as JSON.

Prices, volumes (lots) and rates are decimal strings, times ISO 8601 UTC.
"""

from decimal import Decimal

import msgspec

from service.domain.instrument import (
    CommissionType,
    CommissionValueType,
    GroupSymbol,
    InstrumentType,
    Symbol,
    TradingState,
)
from service.domain.market import Terms
from service.domain.money import VOLUME_DIGITS, format_scaled, to_scaled
from service.domain.sessions import DAYS
from service.domain.times import format_time
from service.storage.views import format_decimal, format_volume


class PriceView(msgspec.Struct, frozen=True, kw_only=True):
    """A group's price of a symbol, and the time of the quote it comes from."""

    symbol: str
    buy: str
    sell: str
    time: str


class GroupSymbolView(msgspec.Struct, frozen=True, kw_only=True):
    """A symbol on the terms of a group.

    `trading_state` is the stricter of the symbol's and the group's; without `sessions` it is always
    traded. `swap_long` and `swap_short` are points of the price a night, three times on
    `triple_swap_weekday`.
    """

    symbol: str
    digits: int
    contract_size: str
    base_currency: str
    profit_currency: str
    instrument_type: InstrumentType
    min_lot: str
    max_lot: str
    lot_step: str
    spread: str
    spread_pip: str
    commission_type: CommissionType
    commission_value_type: CommissionValueType
    commission: str
    swap_long: str
    swap_short: str
    margin_factor: str
    trading_state: TradingState = TradingState.ACTIVE
    sessions: str | None = None
    triple_swap_weekday: str | None = None


def price_view(terms: Terms) -> PriceView | None:
    """Show a group's price, or None where there is none to deal at."""
    market = terms.market
    if not terms.is_priced:
        return None
    digits = market.symbol.digits
    return PriceView(
        symbol=market.symbol.name,
        buy=format_scaled(terms.buy, digits),
        sell=format_scaled(terms.sell, digits),
        time=format_time(market.time),
    )


def group_symbol_view(terms: Terms) -> GroupSymbolView:
    """Show the terms of a group on a symbol."""
    symbol, settings = terms.market.symbol, terms.settings
    return GroupSymbolView(
        symbol=symbol.name,
        digits=symbol.digits,
        contract_size=format_decimal(symbol.contract_size),
        base_currency=symbol.base_currency,
        profit_currency=symbol.profit_currency,
        instrument_type=symbol.instrument_type,
        min_lot=format_volume(symbol.min_volume),
        max_lot=format_volume(symbol.max_volume),
        lot_step=format_volume(symbol.volume_step),
        spread=format_decimal(settings.spread),
        spread_pip=format_decimal(settings.spread_pip),
        commission_type=settings.commission_type,
        commission_value_type=settings.commission_value_type,
        commission=format_decimal(settings.commission),
        swap_long=format_decimal(settings.swap_long),
        swap_short=format_decimal(settings.swap_short),
        margin_factor=format_decimal(settings.margin_factor),
        trading_state=trading_state(terms),
        sessions=sessions_text(symbol),
        triple_swap_weekday=swap_day(symbol),
    )


def trading_state(terms: Terms) -> TradingState:
    """Return what a group may deal in a symbol: the stricter of the two states."""
    if not terms.may_close:
        return TradingState.HALTED
    return TradingState.ACTIVE if terms.may_open else TradingState.CLOSE_ONLY


def sessions_text(symbol: Symbol) -> str | None:
    """Write a symbol's sessions; None: always traded."""
    return None if symbol.sessions is None else str(symbol.sessions)


def swap_day(symbol: Symbol) -> str | None:
    """Write the day that charges three nights; None: one each day."""
    weekday = symbol.triple_swap_weekday
    return None if weekday is None else DAYS[weekday]


def symbol_of(view: GroupSymbolView) -> Symbol:
    """Return the symbol that a view shows, as far as a view goes: to value, not to trade by."""
    return Symbol(
        view.symbol,
        view.digits,
        Decimal(view.contract_size),
        view.base_currency,
        view.profit_currency,
        view.instrument_type,
        to_scaled(Decimal(view.min_lot), VOLUME_DIGITS),
        to_scaled(Decimal(view.max_lot), VOLUME_DIGITS),
        to_scaled(Decimal(view.lot_step), VOLUME_DIGITS),
    )


def settings_of(group: str, view: GroupSymbolView) -> GroupSymbol:
    """Return the terms that a view shows."""
    return GroupSymbol(
        group,
        view.symbol,
        Decimal(view.spread),
        Decimal(view.spread_pip),
        view.commission_type,
        view.commission_value_type,
        Decimal(view.commission),
        Decimal(view.swap_long),
        Decimal(view.swap_short),
        Decimal(view.margin_factor),
    )
