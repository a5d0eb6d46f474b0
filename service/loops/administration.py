"""Settings and accounts, changed by administrators.

A change is taken into memory at once and stored in its place among the decisions, fenced like them;
a changed markup moves the normalised triggers of the group's stored orders in the same transaction,
and so does its entry in the audit.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from loguru import logger

from service.domain.account import Account
from service.domain.decision import Audit, PostingKind
from service.domain.desk import Desk
from service.domain.instrument import (
    Group,
    GroupSymbol,
    SettingsError,
    Symbol,
    TradingState,
    UserType,
)
from service.domain.money import CENT, format_money
from service.domain.rejection import RejectCode, Rejected
from service.loops.trading import Trading
from service.storage.audit import AuditAction, Settings, audit_statement, settings_changes
from service.storage.rows import (
    GROUP_COLUMNS,
    GROUP_SYMBOL_COLUMNS,
    SYMBOL_COLUMNS,
    group_row,
    group_symbol_row,
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


class Author(NamedTuple):
    """Who changes something (the subject of the token), and why, in a line."""

    actor: str
    reason: str = ""


class Administration:
    """What administrators change on a trading shard.

    All raise `Rejected` (the change contradicts itself, nothing changed) and `Unavailable`.
    """

    def __init__(self, trading: Trading) -> None:
        self._trading = trading

    async def set_symbol(self, symbol: Symbol, author: Author) -> None:
        """Add or change a symbol; its digits cannot change."""

        def apply(desk: Desk) -> list[SettingsStatement]:
            market = desk.markets.get(symbol.name)
            before = None if market is None else market.symbol
            desk.set_symbol(symbol)
            return [
                *_symbol_statements(desk, symbol),
                _audit(author, AuditAction.SET_SYMBOL, f"symbol {symbol.name}", before, symbol),
            ]

        await self._change(apply)

    async def set_group(self, group: Group, author: Author) -> None:
        """Add or change a group."""

        def apply(desk: Desk) -> list[SettingsStatement]:
            before = desk.groups.get(group.name)
            desk.set_group(group)
            return [
                (_SET_GROUP, group_row(group)),
                _audit(author, AuditAction.SET_GROUP, f"group {group.name}", before, group),
            ]

        await self._change(apply)

    async def set_terms(self, settings: GroupSymbol, author: Author) -> None:
        """Add or change a group's terms on a symbol."""

        def apply(desk: Desk) -> list[SettingsStatement]:
            terms = desk.terms.get((settings.group, settings.symbol))
            before = None if terms is None else terms.settings
            desk.set_terms(settings)
            target = f"group {settings.group} on {settings.symbol}"
            return [
                (_SET_TERMS, group_symbol_row(settings)),
                _set_triggers(desk, settings.symbol, settings.group),
                _audit(author, AuditAction.SET_TERMS, target, before, settings),
            ]

        await self._change(apply)

    async def set_symbol_state(self, name: str, state: TradingState, author: Author) -> None:
        """Let a symbol be traded, closed only, or halt it; it takes effect at once."""

        def apply(desk: Desk) -> list[SettingsStatement]:
            market = desk.markets.get(name)
            if market is None:
                raise Rejected(RejectCode.UNKNOWN_SYMBOL, f"there is no symbol {name}", "symbol")
            before, after = market.symbol, replace(market.symbol, trading_state=state)
            desk.set_symbol(after)
            target = f"symbol {name}"
            _warn(target, before.trading_state, state, author)
            return [
                *_symbol_statements(desk, after),
                _audit(author, AuditAction.SET_TRADING_STATE, target, before, after),
            ]

        await self._change(apply)

    async def set_group_state(self, name: str, state: TradingState, author: Author) -> None:
        """Let a group trade, close only, or halt it; it takes effect at once."""

        def apply(desk: Desk) -> list[SettingsStatement]:
            before = desk.groups.get(name)
            if before is None:
                raise Rejected(RejectCode.UNKNOWN_GROUP, f"there is no group {name}", "group")
            after = replace(before, trading_state=state)
            desk.set_group(after)
            target = f"group {name}"
            _warn(target, before.trading_state, state, author)
            return [
                (_SET_GROUP, group_row(after)),
                _audit(author, AuditAction.SET_TRADING_STATE, target, before, after),
            ]

        await self._change(apply)

    async def create_account(
        self,
        account_id: int,
        user_type: UserType,
        group: str,
        leverage: Decimal,
        balance: Decimal,
        author: Author,
    ) -> None:
        """Open an account with a first deposit of `balance` USD, in whole cents, >= 0."""

        def apply(desk: Desk) -> list[SettingsStatement]:
            if account_id in desk.accounts:
                raise Rejected(RejectCode.ACCOUNT_EXISTS, f"account {account_id} exists already")
            if account_id <= 0:
                raise Rejected(RejectCode.UNKNOWN_ACCOUNT, "account_id must be above zero")
            if group not in desk.groups:
                raise Rejected(RejectCode.UNKNOWN_GROUP, f"there is no group {group}", "group")
            if not (leverage.is_finite() and leverage > 0):
                raise Rejected(RejectCode.INVALID_SETTINGS, "leverage must be > 0", "leverage")
            if not (balance.is_finite() and 0 <= balance < MAX_AMOUNT) or balance % CENT:
                raise Rejected(
                    RejectCode.INVALID_AMOUNT, "balance must be whole cents and >= 0", "balance"
                )
            desk.accounts[account_id] = Account(
                account_id, user_type, desk.groups[group], leverage, balance
            )
            account = (account_id, user_type, group, leverage, balance)
            statements: list[SettingsStatement] = [(_CREATE_ACCOUNT, account)]
            now = time.time_ns()
            if balance:
                deposit = (account_id, PostingKind.DEPOSIT, balance, now)
                statements.append((_FIRST_DEPOSIT, deposit))
            action, target = AuditAction.CREATE_ACCOUNT, f"account {account_id}"
            entry = Audit(author.actor, action, target, author.reason)
            opened = {
                "user_type": user_type,
                "group": group,
                "leverage": leverage,
                "balance": format_money(balance),
            }
            return [*statements, audit_statement(entry, now, None, opened)]

        await self._change(apply)

    async def _change(self, apply: Callable[[Desk], list[SettingsStatement]]) -> None:
        def apply_or_reject(desk: Desk) -> list[SettingsStatement]:
            try:
                return apply(desk)
            except SettingsError as error:
                raise Rejected(RejectCode.INVALID_SETTINGS, str(error)) from error

        await self._trading.change_settings(apply_or_reject)


def _audit(
    author: Author, action: AuditAction, target: str, before: Settings | None, after: Settings
) -> SettingsStatement:
    """Return the statement that audits a change of settings."""
    entry = Audit(author.actor, action, target, author.reason)
    return audit_statement(entry, time.time_ns(), *settings_changes(before, after))


def _warn(target: str, before: TradingState, after: TradingState, author: Author) -> None:
    logger.warning(
        "trading of {}: {} -> {}, by {}: {}", target, before, after, author.actor, author.reason
    )


def _symbol_statements(desk: Desk, symbol: Symbol) -> list[SettingsStatement]:
    return [
        (_SET_SYMBOL, symbol_row(symbol)),
        _set_triggers(desk, symbol.name, None),
    ]


def _set_triggers(desk: Desk, symbol: str, group: str | None) -> SettingsStatement:
    """Return the statement that moves the triggers of what rests under changed terms."""
    return set_triggers(
        [
            order
            for order in desk.orders.values()
            if order.terms.market.symbol.name == symbol
            and (group is None or order.terms.group.name == group)
        ]
    )
