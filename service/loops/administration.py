"""Settings and accounts, changed by administrators.

A change is taken into memory at once and stored in its place among the decisions, fenced like them;
a changed markup moves the normalised triggers of the group's stored orders in the same transaction.
"""

import time
from collections.abc import Callable
from decimal import Decimal

from service.domain.account import Account
from service.domain.decision import PostingKind
from service.domain.desk import Desk
from service.domain.instrument import Group, GroupSymbol, SettingsError, Symbol, UserType
from service.domain.money import CENT
from service.domain.rejection import RejectCode, Rejected
from service.loops.trading import Trading
from service.storage.rows import (
    GROUP_COLUMNS,
    GROUP_SYMBOL_COLUMNS,
    SYMBOL_COLUMNS,
    group_row,
    group_symbol_row,
    symbol_row,
)
from service.storage.settings_write import SettingsStatement


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
_SET_TRIGGERS = """
UPDATE orders o SET trigger_price = n.trigger_price, stop_loss_trigger = n.stop_loss_trigger,
    take_profit_trigger = n.take_profit_trigger
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
    AS n (order_id, status, trigger_price, stop_loss_trigger, take_profit_trigger)
WHERE o.order_id = n.order_id AND o.status = n.status
"""
_CREATE_ACCOUNT = """
INSERT INTO accounts (account_id, user_type, group_name, leverage, balance)
VALUES ($1, $2, $3, $4, $5)
"""
_FIRST_DEPOSIT = """
INSERT INTO ledger (account_id, kind, amount, balance_after, time) VALUES ($1, $2, $3, $3, $4)
"""
MAX_AMOUNT = 10**12


class Administration:
    """What administrators change on a trading shard.

    All raise `Rejected` (the change contradicts itself, nothing changed) and `Unavailable`.
    """

    def __init__(self, trading: Trading) -> None:
        self._trading = trading

    async def set_symbol(self, symbol: Symbol) -> None:
        """Add or change a symbol; its digits cannot change."""

        def apply(desk: Desk) -> None:
            desk.set_symbol(symbol)

        await self._change(apply, (_SET_SYMBOL, symbol_row(symbol)), symbol=symbol.name)

    async def set_group(self, group: Group) -> None:
        """Add or change a group."""

        def apply(desk: Desk) -> None:
            desk.set_group(group)

        await self._change(apply, (_SET_GROUP, group_row(group)))

    async def set_terms(self, settings: GroupSymbol) -> None:
        """Add or change a group's terms on a symbol."""

        def apply(desk: Desk) -> None:
            desk.set_terms(settings)

        await self._change(
            apply,
            (_SET_TERMS, group_symbol_row(settings)),
            symbol=settings.symbol,
            group=settings.group,
        )

    async def _change(
        self,
        apply: Callable[[Desk], None],
        statement: SettingsStatement,
        *,
        symbol: str | None = None,
        group: str | None = None,
    ) -> None:
        def apply_or_reject(desk: Desk) -> list[SettingsStatement]:
            try:
                apply(desk)
            except SettingsError as error:
                raise Rejected(RejectCode.INVALID_SETTINGS, str(error)) from error
            if symbol is None:
                return [statement]
            return [statement, (_SET_TRIGGERS, _trigger_columns(desk, symbol, group))]

        await self._trading.change_settings(apply_or_reject)

    async def create_account(
        self,
        account_id: int,
        user_type: UserType,
        group: str,
        leverage: Decimal,
        balance: Decimal,
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
            if balance:
                deposit = (account_id, PostingKind.DEPOSIT, balance, time.time_ns())
                statements.append((_FIRST_DEPOSIT, deposit))
            return statements

        await self._trading.change_settings(apply)


def _trigger_columns(desk: Desk, symbol: str, group: str | None) -> tuple[object, ...]:
    """Return the live orders that rest under changed terms, as columns."""
    orders = [
        order
        for order in desk.orders.values()
        if order.terms.market.symbol.name == symbol
        and (group is None or order.terms.group.name == group)
    ]
    return (
        [order.order_id for order in orders],
        [order.status for order in orders],
        [order.trigger for order in orders],
        [order.stop_loss_trigger for order in orders],
        [order.take_profit_trigger for order in orders],
    )
