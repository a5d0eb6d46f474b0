"""A desk to trade on: five symbols, two groups, three accounts; nothing is quoted yet."""

from decimal import Decimal

from service.domain.account import Account
from service.domain.desk import Desk
from service.domain.instrument import (
    CommissionType,
    CommissionValueType,
    FillPolicy,
    Group,
    GroupSymbol,
    InstrumentType,
    Symbol,
    UserType,
)

TRADER, OTHER, POOR = 17, 18, 19

_SYMBOLS = (
    ("EURUSD", 5, "EUR", "USD", InstrumentType.FOREX),
    ("USDJPY", 3, "USD", "JPY", InstrumentType.FOREX),
    ("XAUUSD", 2, "XAU", "USD", InstrumentType.METAL),
    ("EURPLN", 4, "EUR", "PLN", InstrumentType.FOREX),
    ("GBPUSD", 5, "GBP", "USD", InstrumentType.FOREX),
)
_ACCOUNTS = ((TRADER, "gold", 10_000), (OTHER, "gold", 10_000), (POOR, "retail", 1))


def make_desk() -> Desk:
    """Groups gold and retail trade all but GBPUSD, at a markup of two points of EURUSD."""
    desk = Desk()
    for name, digits, base, profit, kind in _SYMBOLS:
        desk.set_symbol(
            Symbol(name, digits, Decimal(100_000), base, profit, kind, 100, 1_000_000, 100)
        )
    for group in ("gold", "retail"):
        desk.set_group(Group(group, Decimal(100), Decimal(50), True, FillPolicy.MARKET))
        for symbol in ("EURUSD", "USDJPY", "XAUUSD", "EURPLN"):
            desk.set_terms(make_terms(group, symbol))
    for account_id, group, balance in _ACCOUNTS:
        desk.accounts[account_id] = Account(
            account_id, UserType.DEMO, desk.groups[group], Decimal(100), Decimal(balance)
        )
    return desk


def make_terms(group: str, symbol: str) -> GroupSymbol:
    return GroupSymbol(
        group,
        symbol,
        Decimal(2) if symbol == "EURUSD" else Decimal(0),
        Decimal("0.00001"),
        CommissionType.ENTRY,
        CommissionValueType.PER_LOT,
        Decimal(7),
        Decimal(0),
        Decimal(0),
        Decimal(1),
    )
