"""A small desk for tests: three symbols, two groups, and an account in each."""

from decimal import Decimal

from service.domain.account import Account
from service.domain.commands import CommandDesk
from service.domain.decision import AccountState
from service.domain.desk import Desk
from service.domain.instructions import PlaceOrder
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
from service.domain.money import format_money
from service.domain.order import Order, OrderType
from service.domain.quote import Quote, QuoteGuard
from service.domain.record import order_state
from service.storage.views import AccountView, OrderView, format_decimal, order_view

NOW = 1_767_600_000_000_000_000  # 2026-01-05T08:00:00Z
GOLD, SILVER = 17, 18
MARKUPS = {"gold": Decimal(0), "silver": Decimal(3)}


def make_desk(*others: str) -> Desk:
    """Return a desk of EURUSD, USDJPY and EURGBP, not yet quoted; silver pays 3 points markup.

    `others` are more symbols of 5 digits.
    """
    desk = Desk()
    digits_of = {"EURUSD": 5, "USDJPY": 3, "EURGBP": 5, **dict.fromkeys(others, 5)}
    for name, digits in digits_of.items():
        desk.set_symbol(
            Symbol(
                name=name,
                digits=digits,
                contract_size=Decimal(100_000),
                base_currency=name[:3],
                profit_currency=name[3:],
                instrument_type=InstrumentType.FOREX,
                min_volume=100,
                max_volume=1_000_000,
                volume_step=100,
            )
        )
    for account_id, group in ((GOLD, "gold"), (SILVER, "silver")):
        desk.set_group(Group(group, Decimal(100), Decimal(50), False, FillPolicy.MARKET))
        for market in list(desk.markets.values()):
            desk.set_terms(
                GroupSymbol(
                    group=group,
                    symbol=market.symbol.name,
                    spread=MARKUPS[group],
                    spread_pip=Decimal(1).scaleb(-market.symbol.digits),
                    commission_type=CommissionType.ENTRY,
                    commission_value_type=CommissionValueType.PER_LOT,
                    commission=Decimal(0),
                    swap_long=Decimal(0),
                    swap_short=Decimal(0),
                    margin_factor=Decimal(1),
                )
            )
        desk.accounts[account_id] = Account(
            account_id, UserType.DEMO, desk.groups[group], Decimal(100), Decimal("10000.00")
        )
    return desk


def quote(desk: Desk, symbol: str, bid: int, ask: int, time: int = NOW) -> None:
    """Make a quote in points the last one of a symbol."""
    desk.markets[symbol].take(Quote(symbol, bid, ask, time))


def quoted_desk() -> Desk:
    """Return the desk with a first quote of EURUSD and USDJPY."""
    desk = make_desk()
    quote(desk, "EURUSD", 110_000, 110_010)
    quote(desk, "USDJPY", 150_000, 150_010)
    return desk


def place(
    desk: Desk,
    account_id: int,
    symbol: str,
    order_type: OrderType,
    volume: int,
    price: int | None = None,
) -> Order:
    """Place an order of `volume` ten-thousandths of a lot."""
    commands = CommandDesk(desk, QuoteGuard())
    decision = commands.place(PlaceOrder(account_id, symbol, order_type, volume, price), NOW)
    assert decision.order is not None
    return desk.orders[decision.order.order_id]


def committed(desk: Desk, account_id: int) -> tuple[AccountView, list[OrderView]]:
    """Return an account with its live orders as it is shown once all is committed."""
    account = desk.accounts[account_id]
    state = AccountState(account_id, account.sequence, account.balance, account.margin)
    view = account_view(state, account.user_type, account.group.name, account.leverage)
    orders = [order for order in desk.orders.values() if order.account is account]
    return view, [order_view(order_state(each, None), each.terms.market.symbol) for each in orders]


def account_view(
    state: AccountState, user_type: UserType, group: str, leverage: Decimal
) -> AccountView:
    """Show an account as committed."""
    return AccountView(
        account_id=state.account_id,
        user_type=user_type,
        group=group,
        leverage=format_decimal(leverage),
        balance=format_money(state.balance),
        margin=format_decimal(state.margin),
        sequence=state.sequence,
    )
