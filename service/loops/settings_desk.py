"""Settings and accounts, changed on a desk: what each change does to memory and to the database.

Memory takes a change at once; the statements returned store it in one transaction: the settings,
their entry in the audit, and the normalised triggers of what rests under them.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, TypeVar

from loguru import logger

from service.domain.account import Account
from service.domain.decision import Audit, PostingKind
from service.domain.desk import Desk
from service.domain.instrument import Group, GroupSymbol, SettingsError, Symbol, TradingState
from service.domain.money import CENT, format_money
from service.domain.rejection import RejectCode, Rejected
from service.loops.requests import (
    Author,
    Change,
    CreateAccount,
    SetGroup,
    SetGroupState,
    SetSymbol,
    SetSymbolState,
    SetTerms,
)
from service.storage.audit import AuditAction, Settings, audit_statement, settings_changes
from service.storage.rows import (
    GROUP_COLUMNS,
    GROUP_SYMBOL_COLUMNS,
    SYMBOL_COLUMNS,
    group_from,
    group_row,
    group_symbol_from,
    group_symbol_row,
    symbol_from,
    symbol_row,
)
from service.storage.settings_write import SettingsStatement, set_triggers


def _upsert(table: str, columns: str, key: str) -> str:
    names = columns.split(", ")
    values = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    changes = ", ".join(
        f"{name} = excluded.{name}" for name in names if name not in key.split(", ")
    )
    return (
        f"INSERT INTO {table} ({columns}) VALUES ({values}) "
        f"ON CONFLICT ({key}) DO UPDATE SET {changes}"
    )


_SET_SYMBOL = _upsert("symbols", SYMBOL_COLUMNS, "symbol")
_SET_GROUP = _upsert("groups", GROUP_COLUMNS, "group_name")
_SET_TERMS = _upsert("group_symbols", GROUP_SYMBOL_COLUMNS, "group_name, symbol")
_CREATE_ACCOUNT = """
INSERT INTO accounts (account_id, user_type, group_name, leverage, balance)
VALUES ($1, $2, $3, $4, $5)
"""
_FIRST_DEPOSIT = """
INSERT INTO ledger (account_id, kind, amount, balance_after, time) VALUES ($1, $2, $3, $3, $4)
"""
MAX_AMOUNT = 10**12
Known = TypeVar("Known", Symbol, Group)


class Changed(NamedTuple):
    """What stores a change, and the settings as they are now."""

    statements: list[SettingsStatement]
    stored: SetSymbol | SetGroup | SetTerms


def change_settings(change: Change, author: Author, desk: Desk) -> Changed:
    """Change the settings of a desk.

    Raises:
        Rejected: they contradict themselves, or what is to be changed is not there; nothing
            changed.
    """
    try:
        match change:
            case SetSymbol():
                return _set_symbol(symbol_from(change.row), author, desk)
            case SetGroup():
                return _set_group(group_from(change.row), author, desk)
            case SetTerms():
                return _set_terms(group_symbol_from(change.row), author, desk)
            case SetSymbolState():
                return _set_symbol_state(change.symbol, change.state, author, desk)
            case SetGroupState():
                return _set_group_state(change.group, change.state, author, desk)
    except SettingsError as error:
        raise Rejected(RejectCode.INVALID_SETTINGS, str(error)) from error


def _set_symbol(symbol: Symbol, author: Author, desk: Desk) -> Changed:
    before = desk.symbols.get(symbol.name)
    return _store_symbol(before, _as_traded(symbol, before), AuditAction.SET_SYMBOL, author, desk)


def _set_symbol_state(name: str, state: TradingState, author: Author, desk: Desk) -> Changed:
    before = _known(desk.symbols, name, RejectCode.UNKNOWN_SYMBOL, "symbol")
    after = _in_state(before, state, f"symbol {name}", author)
    return _store_symbol(before, after, AuditAction.SET_TRADING_STATE, author, desk)


def _store_symbol(
    before: Symbol | None, symbol: Symbol, action: AuditAction, author: Author, desk: Desk
) -> Changed:
    desk.set_symbol(symbol)
    row = symbol_row(symbol)
    statements = [
        (_SET_SYMBOL, row),
        _audit(author, action, f"symbol {symbol.name}", before, symbol),
    ]
    if is_moved(before, symbol):
        moved = [each for each in desk.orders.values() if each.terms.market.symbol is symbol]
        statements.append(set_triggers(moved))
    return Changed(statements, SetSymbol(row))


def is_moved(before: Symbol | None, after: Symbol) -> bool:
    """Tell whether a change of a symbol moves the triggers of what rests on it."""
    return before is not None and before.trigger_tolerance_points != after.trigger_tolerance_points


def _set_group(group: Group, author: Author, desk: Desk) -> Changed:
    before = desk.groups.get(group.name)
    return _store_group(before, _as_traded(group, before), AuditAction.SET_GROUP, author, desk)


def _set_group_state(name: str, state: TradingState, author: Author, desk: Desk) -> Changed:
    before = _known(desk.groups, name, RejectCode.UNKNOWN_GROUP, "group")
    after = _in_state(before, state, f"group {name}", author)
    return _store_group(before, after, AuditAction.SET_TRADING_STATE, author, desk)


def _store_group(
    before: Group | None, group: Group, action: AuditAction, author: Author, desk: Desk
) -> Changed:
    desk.set_group(group)
    row = group_row(group)
    statements = [(_SET_GROUP, row), _audit(author, action, f"group {group.name}", before, group)]
    return Changed(statements, SetGroup(row))


def _set_terms(settings: GroupSymbol, author: Author, desk: Desk) -> Changed:
    key = settings.group, settings.symbol
    terms = desk.terms.get(key)
    before = None if terms is None else terms.settings
    markup = None if terms is None else (terms.buy_markup, terms.sell_markup)
    desk.set_terms(settings)
    row = group_symbol_row(settings)
    target = f"group {settings.group} on {settings.symbol}"
    statements = [
        (_SET_TERMS, row),
        _audit(author, AuditAction.SET_TERMS, target, before, settings),
    ]
    if terms is not None and markup != (terms.buy_markup, terms.sell_markup):
        moved = [order for order in desk.orders.values() if order.terms is terms]
        statements.append(set_triggers(moved))
    return Changed(statements, SetTerms(row))


def open_account(account: CreateAccount, desk: Desk) -> list[SettingsStatement]:
    """Open an account on a desk and return what stores it, with its first deposit.

    Raises:
        Rejected: it exists, or what it should be contradicts itself; nothing changed.
    """
    account_id, group = account.account_id, account.group
    leverage, balance = account.leverage, account.balance
    if account_id in desk.accounts:
        raise Rejected(RejectCode.ACCOUNT_EXISTS, f"account {account_id} exists already")
    if account_id <= 0:
        raise Rejected(RejectCode.UNKNOWN_ACCOUNT, "account_id must be above zero")
    its_group = _known(desk.groups, group, RejectCode.UNKNOWN_GROUP, "group")
    if not (leverage.is_finite() and leverage > 0):
        raise Rejected(RejectCode.INVALID_SETTINGS, "leverage must be > 0", "leverage")
    if not (balance.is_finite() and 0 <= balance < MAX_AMOUNT) or balance % CENT:
        raise Rejected(RejectCode.INVALID_AMOUNT, "balance must be whole cents and >= 0", "balance")
    desk.accounts[account_id] = Account(account_id, account.user_type, its_group, leverage, balance)
    row = (account_id, account.user_type, group, leverage, balance)
    statements: list[SettingsStatement] = [(_CREATE_ACCOUNT, row)]
    now = time.time_ns()
    if balance:
        statements.append((_FIRST_DEPOSIT, (account_id, PostingKind.DEPOSIT, balance, now)))
    actor, reason = account.author
    entry = Audit(actor, AuditAction.CREATE_ACCOUNT, f"account {account_id}", reason)
    opened = {
        "user_type": account.user_type,
        "group": group,
        "leverage": leverage,
        "balance": format_money(balance),
    }
    return [*statements, audit_statement(entry, now, None, opened)]


def _known(settings: Mapping[str, Known], name: str, code: RejectCode, what: str) -> Known:
    found = settings.get(name)
    if found is None:
        raise Rejected(code, f"there is no {what} {name}", what)
    return found


def _audit(
    author: Author, action: AuditAction, target: str, before: Settings | None, after: Settings
) -> SettingsStatement:
    """Return the statement that audits a change of settings."""
    entry = Audit(author.actor, action, target, author.reason)
    return audit_statement(entry, time.time_ns(), *settings_changes(before, after))


def _as_traded(settings: Known, before: Known | None) -> Known:
    """Return settings in the trading state there is: active, if they are new."""
    state = TradingState.ACTIVE if before is None else before.trading_state
    return replace(settings, trading_state=state)


def _in_state(before: Known, state: TradingState, target: str, author: Author) -> Known:
    """Return settings in another trading state, which is told."""
    logger.warning(
        "trading of {}: {} -> {}, by {}: {}",
        target,
        before.trading_state,
        state,
        author.actor,
        author.reason,
    )
    return replace(before, trading_state=state)
