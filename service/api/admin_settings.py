"""Administration of symbols, groups and a group's terms on a symbol.

A PUT creates or replaces, but for the trading state, which has calls of its own (`admin_states`).
What contradicts itself is refused as INVALID_SETTINGS and changes nothing. Every change is audited.
"""

import re
from decimal import Decimal

from service.api.auth import Role
from service.api.calls import Answer, Call, Route
from service.api.errors import ApiError, TransportCode
from service.api.replies import (
    GroupList,
    GroupView,
    SymbolList,
    SymbolView,
    TermsList,
    TermsView,
    group_view,
    symbol_view,
    terms_view,
)
from service.api.requests import NAME_PATTERN, GroupSettings, SymbolSettings, TermsSettings
from service.domain.instrument import Group, GroupSymbol, Symbol, TradingState
from service.domain.rejection import RejectCode, Rejected
from service.domain.scales import volume_units
from service.domain.sessions import DAYS, parse_sessions

SYMBOLS = "/api/v1/admin/symbols"
GROUPS = "/api/v1/admin/groups"
TERMS = GROUPS + "/{group}/symbols"

_ADMIN = Role.ADMIN
_SETTINGS = (RejectCode.INVALID_SETTINGS,)
_MISSING = (TransportCode.NOT_FOUND,)
_NAME = re.compile(NAME_PATTERN)
_MAX_UNITS = 10**18


async def set_symbol(call: Call[SymbolSettings, None]) -> Answer:
    body, name = call.body, _name(call.path["symbol"], "symbol")
    day = body.triple_swap_weekday
    with call.counted("admin"):
        symbol = Symbol(
            name,
            body.digits,
            Decimal(body.contract_size),
            body.base_currency,
            body.profit_currency,
            body.instrument_type,
            _units(body.min_lot, "min_lot"),
            _units(body.max_lot, "max_lot"),
            _units(body.lot_step, "lot_step"),
            body.trigger_tolerance_points,
            body.max_jump_points,
            TradingState.ACTIVE,  # of a new one; that of another stays
            None if body.sessions is None else parse_sessions(body.sessions),
            None if day is None else DAYS.index(day),
        )
        stored = await call.services.administration.set_symbol(symbol, call.author(body.reason))
    return Answer(200, symbol_view(stored))


async def list_symbols(call: Call[None, None]) -> Answer:
    markets = call.services.market.desk.markets
    return Answer(
        200, SymbolList(symbols=[symbol_view(markets[name].symbol) for name in sorted(markets)])
    )


async def show_symbol(call: Call[None, None]) -> Answer:
    market = call.services.market.desk.markets.get(call.path["symbol"])
    if market is None:
        raise _not_found("symbol", call.path["symbol"])
    return Answer(200, symbol_view(market.symbol))


async def set_group(call: Call[GroupSettings, None]) -> Answer:
    body, name = call.body, _name(call.path["group"], "group")
    with call.counted("admin"):
        group = Group(
            name,
            Decimal(body.margin_call_level),
            Decimal(body.stop_out_level),
            body.negative_balance_protection,
            body.fill_policy,
            Decimal(body.margin_call_hysteresis),
        )
        stored = await call.services.administration.set_group(group, call.author(body.reason))
    return Answer(200, group_view(stored))


async def list_groups(call: Call[None, None]) -> Answer:
    groups = call.services.market.desk.groups
    return Answer(200, GroupList(groups=[group_view(groups[name]) for name in sorted(groups)]))


async def show_group(call: Call[None, None]) -> Answer:
    return Answer(200, group_view(_group(call)))


async def set_terms(call: Call[TermsSettings, None]) -> Answer:
    body = call.body
    group, symbol = _name(call.path["group"], "group"), _name(call.path["symbol"], "symbol")
    with call.counted("admin"):
        settings = GroupSymbol(
            group,
            symbol,
            Decimal(body.spread),
            Decimal(body.spread_pip),
            body.commission_type,
            body.commission_value_type,
            Decimal(body.commission),
            Decimal(body.swap_long),
            Decimal(body.swap_short),
            Decimal(body.margin_factor),
        )
        stored = await call.services.administration.set_terms(settings, call.author(body.reason))
    return Answer(200, terms_view(stored))


async def list_terms(call: Call[None, None]) -> Answer:
    desk, group = call.services.market.desk, _group(call)
    named = sorted(symbol for name, symbol in desk.terms if name == group.name)
    settings = [desk.terms[group.name, symbol].settings for symbol in named]
    return Answer(200, TermsList(symbols=[terms_view(each) for each in settings]))


async def show_terms(call: Call[None, None]) -> Answer:
    group, symbol = call.path["group"], call.path["symbol"]
    terms = call.services.market.desk.terms.get((group, symbol))
    if terms is None:
        raise _not_found("group symbol", f"{group}/{symbol}")
    return Answer(200, terms_view(terms.settings))


def _group(call: Call[None, None]) -> Group:
    group = call.services.market.desk.groups.get(call.path["group"])
    if group is None:
        raise _not_found("group", call.path["group"])
    return group


def _name(text: str, field: str) -> str:
    if not _NAME.search(text):
        raise ApiError(
            TransportCode.VALIDATION_FAILED,
            f"{field} must be a name of 1 to 32 letters, digits and . _ # -",
            field,
        )
    return text


def _units(lots: str, field: str) -> int:
    """Return lots in 1/10,000 lot; reject what is not stored in 64 bits."""
    units = volume_units(Decimal(lots), field, RejectCode.INVALID_SETTINGS)
    if abs(units) >= _MAX_UNITS:
        raise Rejected(RejectCode.INVALID_SETTINGS, f"{field} is far too large", field)
    return units


def _not_found(what: str, name: str) -> ApiError:
    return ApiError(TransportCode.NOT_FOUND, f"there is no {what} {name}")


ROUTES = (
    Route("GET", SYMBOLS, "List symbols", list_symbols, _ADMIN, {200: SymbolList}),
    Route(
        "GET",
        SYMBOLS + "/{symbol}",
        "Show a symbol",
        show_symbol,
        _ADMIN,
        {200: SymbolView},
        errors=_MISSING,
    ),
    Route(
        "PUT",
        SYMBOLS + "/{symbol}",
        "Add or change a symbol",
        set_symbol,
        _ADMIN,
        {200: SymbolView},
        body=SymbolSettings,
        errors=_SETTINGS,
    ),
    Route("GET", GROUPS, "List groups", list_groups, _ADMIN, {200: GroupList}),
    Route(
        "GET",
        GROUPS + "/{group}",
        "Show a group",
        show_group,
        _ADMIN,
        {200: GroupView},
        errors=_MISSING,
    ),
    Route(
        "PUT",
        GROUPS + "/{group}",
        "Add or change a group",
        set_group,
        _ADMIN,
        {200: GroupView},
        body=GroupSettings,
        errors=_SETTINGS,
    ),
    Route(
        "GET",
        TERMS,
        "List a group's terms on its symbols",
        list_terms,
        _ADMIN,
        {200: TermsList},
        errors=_MISSING,
    ),
    Route(
        "GET",
        TERMS + "/{symbol}",
        "Show a group's terms on a symbol",
        show_terms,
        _ADMIN,
        {200: TermsView},
        errors=_MISSING,
    ),
    Route(
        "PUT",
        TERMS + "/{symbol}",
        "Add or change a group's terms on a symbol",
        set_terms,
        _ADMIN,
        {200: TermsView},
        body=TermsSettings,
        errors=_SETTINGS,
    ),
)
