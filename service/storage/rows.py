"""Rows of the database as domain objects, and back."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from service.domain.instrument import (
    CommissionType,
    CommissionValueType,
    FillPolicy,
    Group,
    GroupSymbol,
    InstrumentType,
    Symbol,
    TradingState,
)
from service.domain.order import CancelReason, CloseReason, OrderState, OrderStatus, OrderType
from service.domain.sessions import parse_sessions
from service.storage.batch import ORDER_COLUMNS

ORDER_SELECT = ", ".join(ORDER_COLUMNS)
_TYPES = {kind.value: kind for kind in OrderType}
_STATUSES = {status.value: status for status in OrderStatus}
_TYPE, _STATUS, _REASON = (ORDER_COLUMNS.index(c) for c in ("order_type", "status", "reason"))

SYMBOL_COLUMNS = (
    "symbol, digits, contract_size, base_currency, profit_currency, instrument_type, min_volume, "
    "max_volume, volume_step, trigger_tolerance_points, max_jump_points, trading_state, sessions, "
    "triple_swap_weekday"
)
GROUP_COLUMNS = (
    "group_name, margin_call_level, stop_out_level, negative_balance_protection, fill_policy, "
    "margin_call_hysteresis, trading_state"
)
GROUP_SYMBOL_COLUMNS = (
    "group_name, symbol, spread, spread_pip, commission_type, commission_value_type, commission, "
    "swap_long, swap_short, margin_factor"
)

# The same as values: what `symbol_row`, `group_row` and `group_symbol_row` return.
SymbolRow = tuple[
    str,
    int,
    Decimal,
    str,
    str,
    InstrumentType,
    int,
    int,
    int,
    int,
    int | None,
    TradingState,
    str | None,
    int | None,
]
GroupRow = tuple[str, Decimal, Decimal, bool, FillPolicy, Decimal, TradingState]
TermsRow = tuple[
    str,
    str,
    Decimal,
    Decimal,
    CommissionType,
    CommissionValueType,
    Decimal,
    Decimal,
    Decimal,
    Decimal,
]


def order_from(row: Sequence[Any]) -> OrderState:
    """Read an order from a row of `ORDER_SELECT`."""
    values = list(row)
    values[_TYPE] = _TYPES[values[_TYPE]]
    status = values[_STATUS] = _STATUSES[values[_STATUS]]
    reason = values[_REASON]
    if reason is not None:
        kind = CloseReason if status is OrderStatus.CLOSED else CancelReason
        values[_REASON] = kind(reason)
    return OrderState._make(values)


def symbol_from(row: Sequence[Any]) -> Symbol:
    """Read a symbol from a row of `SYMBOL_COLUMNS`."""
    values = list(row)
    values[5] = InstrumentType(values[5])
    values[11] = TradingState(values[11])
    values[12] = None if values[12] is None else parse_sessions(values[12])
    return Symbol(*values)


def symbol_row(symbol: Symbol) -> SymbolRow:
    """Return a symbol as a row of `SYMBOL_COLUMNS`."""
    return (
        symbol.name,
        symbol.digits,
        symbol.contract_size,
        symbol.base_currency,
        symbol.profit_currency,
        symbol.instrument_type,
        symbol.min_volume,
        symbol.max_volume,
        symbol.volume_step,
        symbol.trigger_tolerance_points,
        symbol.max_jump_points,
        symbol.trading_state,
        None if symbol.sessions is None else str(symbol.sessions),
        symbol.triple_swap_weekday,
    )


def group_from(row: Sequence[Any]) -> Group:
    """Read a group from a row of `GROUP_COLUMNS`."""
    values = list(row)
    values[4] = FillPolicy(values[4])
    values[6] = TradingState(values[6])
    return Group(*values)


def group_row(group: Group) -> GroupRow:
    """Return a group as a row of `GROUP_COLUMNS`."""
    return (
        group.name,
        group.margin_call_level,
        group.stop_out_level,
        group.negative_balance_protection,
        group.fill_policy,
        group.margin_call_hysteresis,
        group.trading_state,
    )


def group_symbol_from(row: Sequence[Any]) -> GroupSymbol:
    """Read a group's terms from a row of `GROUP_SYMBOL_COLUMNS`."""
    values = list(row)
    values[4] = CommissionType(values[4])
    values[5] = CommissionValueType(values[5])
    return GroupSymbol(*values)


def group_symbol_row(settings: GroupSymbol) -> TermsRow:
    """Return a group's terms as a row of `GROUP_SYMBOL_COLUMNS`."""
    return (
        settings.group,
        settings.symbol,
        settings.spread,
        settings.spread_pip,
        settings.commission_type,
        settings.commission_value_type,
        settings.commission,
        settings.swap_long,
        settings.swap_short,
        settings.margin_factor,
    )
