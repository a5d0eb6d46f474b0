"""Opens a book in an empty database: settings, accounts with their first deposit, resting orders.

All of it in one transaction: a fault leaves the database as it was.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple, Protocol

from service.domain.decision import PostingKind
from service.domain.instrument import Group, GroupSymbol, Symbol, UserType
from service.domain.order import OrderState
from service.storage.batch import ORDER_COLUMNS
from service.storage.connection import Connection
from service.storage.rows import (
    GROUP_COLUMNS,
    GROUP_SYMBOL_COLUMNS,
    SYMBOL_COLUMNS,
    group_row,
    group_symbol_row,
    symbol_row,
)


class AccountOpening(Protocol):
    """An account to open with its first deposit in USD."""

    @property
    def account_id(self) -> int: ...
    @property
    def user_type(self) -> UserType: ...
    @property
    def group(self) -> str: ...
    @property
    def leverage(self) -> Decimal: ...
    @property
    def balance(self) -> Decimal: ...


class Opening(NamedTuple):
    """A book to open; `orders` are pending."""

    symbols: Iterable[Symbol]
    groups: Iterable[Group]
    group_symbols: Iterable[GroupSymbol]
    accounts: Iterable[AccountOpening]
    orders: Iterable[OrderState]


async def is_empty(connection: Connection) -> bool:
    """Tell whether the database has no symbols and no accounts yet."""
    return not await connection.fetchval(
        "SELECT EXISTS (SELECT FROM symbols) OR EXISTS (SELECT FROM accounts)"
    )


async def open_book(connection: Connection, opening: Opening, time: int) -> None:
    """Store a book; deposits are posted at `time` (ns UTC).

    Raises:
        asyncpg.PostgresError: something is there already, or contradicts itself.
    """
    accounts = list(opening.accounts)
    async with connection.transaction():
        await _copy(connection, "symbols", SYMBOL_COLUMNS, map(symbol_row, opening.symbols))
        await _copy(connection, "groups", GROUP_COLUMNS, map(group_row, opening.groups))
        await _copy(
            connection,
            "group_symbols",
            GROUP_SYMBOL_COLUMNS,
            map(group_symbol_row, opening.group_symbols),
        )
        await _copy(
            connection,
            "accounts",
            "account_id, user_type, group_name, leverage, balance",
            ((a.account_id, a.user_type, a.group, a.leverage, a.balance) for a in accounts),
        )
        await _copy(
            connection,
            "ledger",
            "account_id, kind, amount, balance_after, time",
            (
                (a.account_id, PostingKind.DEPOSIT, a.balance, a.balance, time)
                for a in accounts
                if a.balance
            ),
        )
        await _copy(connection, "orders", ", ".join(ORDER_COLUMNS), opening.orders)
    await connection.execute("ANALYZE orders, accounts")


async def _copy(
    connection: Connection, table: str, columns: str, rows: Iterable[tuple[object, ...]]
) -> None:
    await connection.copy_records_to_table(table, records=rows, columns=columns.split(", "))
