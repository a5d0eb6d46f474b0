"""What a scenario trades and for whom: symbols, groups, their terms, and accounts.

Each reader returns a dictionary by key in the order of the file. A key whose line is at fault is
there with None: declared, so that what refers to it is not a second fault, but unusable.
"""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from service.domain.instrument import (
    MARGIN_CALL_HYSTERESIS,
    WEDNESDAY,
    CommissionType,
    CommissionValueType,
    FillPolicy,
    Group,
    GroupSymbol,
    InstrumentType,
    SettingsError,
    Symbol,
    UserType,
)
from service.domain.money import CENT, VOLUME_DIGITS, ZERO
from service.domain.sessions import DAYS, Sessions, parse_sessions
from service.scenario.fault import Faults
from service.scenario.table import Row, read_rows

SYMBOL_COLUMNS = (
    "symbol",
    "digits",
    "contract_size",
    "base_currency",
    "profit_currency",
    "instrument_type",
    "min_lot",
    "max_lot",
    "lot_step",
)
SYMBOL_OPTIONS = ("sessions", "triple_swap_weekday")
GROUP_COLUMNS = (
    "group",
    "margin_call_level",
    "stop_out_level",
    "negative_balance_protection",
    "fill_policy",
)
GROUP_OPTIONS = ("margin_call_hysteresis",)
TERMS_COLUMNS = (
    "group",
    "symbol",
    "spread",
    "spread_pip",
    "commission_type",
    "commission_value_type",
    "commission",
    "swap_long",
    "swap_short",
    "margin_factor",
)
ACCOUNT_COLUMNS = ("account_id", "user_type", "group", "leverage", "balance")
MAX_ACCOUNT_ID = 10**18 - 1
SWAP_DAYS = DAYS[:5]
NO_TRIPLE_SWAP = "none"
ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class ScenarioAccount:
    """An account to open. Leverage is a ratio above 0, balance USD in whole cents, >= 0."""

    account_id: int
    user_type: UserType
    group: str
    leverage: Decimal
    balance: Decimal


def read_symbols(path: Path, faults: Faults) -> dict[str, Symbol | None]:
    """Read symbols.csv. Lots become 1/10,000 lot.

    Empty: sessions always, triple_swap_weekday Wed.
    """
    symbols: dict[str, Symbol | None] = {}
    columns = (*SYMBOL_COLUMNS, *SYMBOL_OPTIONS)
    for line, fields in read_rows(path, SYMBOL_COLUMNS, faults, SYMBOL_OPTIONS):
        row = Row(path, line, columns, fields, faults)
        name = row.name("symbol")
        if name in symbols:
            row.fault("symbol", f"must be unique, {name} is there already")
        digits = row.whole("digits", 0, 8)
        contract_size = row.positive("contract_size")
        base, profit = row.currency("base_currency"), row.currency("profit_currency")
        kind = row.choice("instrument_type", InstrumentType)
        smallest = row.scaled("min_lot", VOLUME_DIGITS)
        largest = row.scaled("max_lot", VOLUME_DIGITS)
        step = row.scaled("lot_step", VOLUME_DIGITS)
        if not row.is_faulty and smallest > largest:
            row.fault("max_lot", "must be at least min_lot")
        sessions, triple_day = _sessions(row), _triple_swap_weekday(row)
        if row.is_faulty:
            symbols[name] = None
            continue
        symbols[name] = Symbol(
            name,
            digits,
            contract_size,
            base,
            profit,
            kind,
            smallest,
            largest,
            step,
            sessions=sessions,
            triple_swap_weekday=triple_day,
        )
    return symbols


def _sessions(row: Row) -> Sessions | None:
    text = row.text("sessions")
    if not text:
        return None
    try:
        return parse_sessions(text)
    except SettingsError as error:
        row.fault("sessions", str(error))
        return None


def _triple_swap_weekday(row: Row) -> int | None:
    text = row.text("triple_swap_weekday")
    if text == NO_TRIPLE_SWAP:
        return None
    if text and text not in SWAP_DAYS:
        days = ", ".join((*SWAP_DAYS, NO_TRIPLE_SWAP))
        row.fault("triple_swap_weekday", f"must be one of {days}, not {text!r}")
        return None
    return SWAP_DAYS.index(text) if text else WEDNESDAY


def read_groups(path: Path, faults: Faults) -> dict[str, Group | None]:
    """Read groups.csv. Empty: margin_call_hysteresis 5."""
    groups: dict[str, Group | None] = {}
    columns = (*GROUP_COLUMNS, *GROUP_OPTIONS)
    for line, fields in read_rows(path, GROUP_COLUMNS, faults, GROUP_OPTIONS):
        row = Row(path, line, columns, fields, faults)
        name = row.name("group")
        if name in groups:
            row.fault("group", f"must be unique, {name} is there already")
        call = row.decimal("margin_call_level", lowest=ZERO)
        stop_out = row.decimal("stop_out_level", lowest=ZERO)
        protection = row.truth("negative_balance_protection")
        policy = row.choice("fill_policy", FillPolicy)
        hysteresis = row.decimal(
            "margin_call_hysteresis", empty=MARGIN_CALL_HYSTERESIS, lowest=ZERO
        )
        if not row.is_faulty and stop_out > call:
            row.fault("stop_out_level", "must be at most margin_call_level")
        if row.is_faulty:
            groups[name] = None
            continue
        groups[name] = Group(name, call, stop_out, protection, policy, hysteresis)
    return groups


def read_terms(
    path: Path,
    symbols: dict[str, Symbol | None],
    groups: dict[str, Group | None],
    faults: Faults,
) -> dict[tuple[str, str], GroupSymbol | None]:
    """Read group_symbols.csv. Empty: spread, commission and swaps 0, margin_factor 1."""
    terms: dict[tuple[str, str], GroupSymbol | None] = {}
    for line, fields in read_rows(path, TERMS_COLUMNS, faults):
        row = Row(path, line, TERMS_COLUMNS, fields, faults)
        group, name = row.name("group"), row.name("symbol")
        if group not in groups:
            row.fault("group", f"must be one of groups.csv, {group!r} is not")
        if name not in symbols:
            row.fault("symbol", f"must be one of symbols.csv, {name!r} is not")
        if (group, name) in terms:
            row.fault("symbol", f"must be unique in its group, {group} has {name} already")
        spread = row.decimal("spread", empty=ZERO, lowest=ZERO)
        spread_pip = row.decimal("spread_pip", empty=None if spread else ZERO, lowest=ZERO)
        commission = row.decimal("commission", empty=ZERO, lowest=ZERO)
        charged = bool(commission)
        commission_type = row.choice(
            "commission_type",
            CommissionType,
            empty=None if charged else CommissionType.ENTRY_AND_EXIT,
        )
        value_type = row.choice(
            "commission_value_type",
            CommissionValueType,
            empty=None if charged else CommissionValueType.PER_LOT,
        )
        swap_long = row.decimal("swap_long", empty=ZERO)
        swap_short = row.decimal("swap_short", empty=ZERO)
        margin_factor = row.positive("margin_factor", empty=ONE)
        settings = None
        symbol = symbols.get(name)
        if not row.is_faulty:
            settings = GroupSymbol(
                group,
                name,
                spread,
                spread_pip,
                commission_type,
                value_type,
                commission,
                swap_long,
                swap_short,
                margin_factor,
            )
            if symbol is not None:
                try:
                    settings.markup_points(symbol.digits)
                except SettingsError as error:
                    row.fault("spread", str(error))
        terms[group, name] = None if row.is_faulty else settings
    return terms


def read_accounts(
    path: Path, groups: dict[str, Group | None], faults: Faults
) -> dict[int, ScenarioAccount | None]:
    """Read accounts.csv. One table for live and demo accounts: an id is one account."""
    accounts: dict[int, ScenarioAccount | None] = {}
    for line, fields in read_rows(path, ACCOUNT_COLUMNS, faults):
        row = Row(path, line, ACCOUNT_COLUMNS, fields, faults)
        account_id = row.whole("account_id", 1, MAX_ACCOUNT_ID)
        is_numbered = not row.is_faulty
        if is_numbered and account_id in accounts:
            row.fault("account_id", f"must be unique, {account_id} is there already")
        user_type = row.choice("user_type", UserType)
        group = row.name("group")
        if group not in groups:
            row.fault("group", f"must be one of groups.csv, {group!r} is not")
        leverage = row.positive("leverage")
        balance = row.decimal("balance", lowest=ZERO)
        if balance % CENT:
            row.fault("balance", f"must be whole cents, not {balance}")
        if is_numbered:
            accounts[account_id] = (
                None
                if row.is_faulty
                else ScenarioAccount(account_id, user_type, group, leverage, balance)
            )
    return accounts
