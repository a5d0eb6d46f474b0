"""The broker of a drill: symbols that are always open, groups without and with markup."""

from decimal import Decimal
from typing import NamedTuple

import asyncpg

from service.domain.instrument import (
    CommissionType,
    CommissionValueType,
    FillPolicy,
    Group,
    GroupSymbol,
    UserType,
)
from service.scenario.instruments import INSTRUMENTS, Instrument
from service.storage.database import apply_migrations
from service.storage.importer import Opening, open_book

SYMBOLS = ("EURUSD", "USDJPY", "GBPUSD", "XAUUSD", "AUDUSD", "USDCHF", "EURCHF")
RICH_ACCOUNTS = range(1, 41)
POOR_ACCOUNTS = range(101, 141)
RICH, POOR = Decimal("1000000.00"), Decimal("1000.00")
FEW_GROUPS = 2


class DrillAccount(NamedTuple):
    """An account at 1:100; odd ones are live, even ones demo."""

    account_id: int
    user_type: UserType
    group: str
    leverage: Decimal
    balance: Decimal


def instruments(names: tuple[str, ...] = SYMBOLS) -> list[Instrument]:
    """Return the instruments that a drill trades."""
    return [each for each in INSTRUMENTS if each.symbol.name in names]


def group_name(number: int) -> str:
    """Return the name of a group, numbered from 0."""
    return f"group-{number}"


def drill_book(groups: int) -> Opening:
    """Return the book, with accounts spread over so many groups and no orders."""
    traded = [each.symbol for each in instruments()]
    return Opening(
        traded,
        [
            Group(group_name(number), Decimal(100), Decimal(50), True, FillPolicy.MARKET)
            for number in range(groups)
        ],
        [
            _terms(number, symbol.name, symbol.digits)
            for number in range(groups)
            for symbol in traded
        ],
        [
            DrillAccount(
                account_id,
                UserType.LIVE if account_id % 2 else UserType.DEMO,
                group_name(account_id % groups),
                Decimal(100),
                balance,
            )
            for account_ids, balance in ((RICH_ACCOUNTS, RICH), (POOR_ACCOUNTS, POOR))
            for account_id in account_ids
        ],
        (),
    )


def _terms(number: int, symbol: str, digits: int) -> GroupSymbol:
    return GroupSymbol(
        group_name(number),
        symbol,
        spread=Decimal(number % 2),
        spread_pip=Decimal(1).scaleb(-digits),
        commission_type=CommissionType.ENTRY,
        commission_value_type=CommissionValueType.PER_LOT,
        commission=Decimal("2.00"),
        swap_long=Decimal(0),
        swap_short=Decimal(0),
        margin_factor=Decimal(1),
    )


async def store_book(dsn: str, time_ns: int, groups: int) -> None:
    """Make the schema in an empty database and open the book."""
    await apply_migrations(dsn)
    connection = await asyncpg.connect(dsn)
    try:
        await open_book(connection, drill_book(groups), time_ns)
    finally:
        await connection.close()
