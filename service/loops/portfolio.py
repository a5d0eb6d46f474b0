"""Portfolios: an account's static orders from the cache first, valued at the group's prices (R1).

The database is read only if the cache has nothing, on a connection borrowed for one statement, and
what was read fills the cache. Values come from the domain's own account arithmetic at the markets
of this process; what cannot be priced is None and listed, never zero.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Protocol

import msgspec

from service.domain.account import Account, position_profit
from service.domain.desk import Desk
from service.domain.instrument import UserType
from service.domain.money import EXACT, format_money, format_scaled
from service.domain.order import Order, OrderStatus
from service.domain.times import format_time
from service.loops.answers import Unavailable
from service.storage.cache import Cache, StaticOrders
from service.storage.valuation import Valuation
from service.storage.views import AccountView, OrderView, order_state


class LiveOrdersReader(Protocol):
    """The one read of the database: accounts with their live orders, of one moment."""

    async def live_orders(self, account_ids: Sequence[int]) -> dict[int, StaticOrders]: ...


class PositionView(msgspec.Struct, frozen=True, kw_only=True):
    """An open order at the price its group would close it at, and the time of that price.

    `profit` is in USD. None: its symbol was never quoted, or there is no conversion rate.
    """

    order_id: int
    symbol: str
    profit: str | None
    price: str | None
    priced_at: str | None


class Portfolio(msgspec.Struct, frozen=True, kw_only=True):
    """An account valued at the group's prices, in USD; committed up to `sequence`.

    With a position that cannot be priced, listed in `unpriced` by order id, `equity`, `free_margin`
    and `margin_level` are None. `margin_level` is equity / margin in percent, None without margin.
    """

    account_id: int
    user_type: UserType
    group: str
    leverage: str
    balance: str
    equity: str | None
    margin: str
    free_margin: str | None
    margin_level: str | None
    unpriced: list[int]
    positions: list[PositionView]
    sequence: int


class Portfolios:
    """Reads accounts cache-first and values them."""

    def __init__(self, cache: Cache, reader: LiveOrdersReader, desk: Callable[[], Desk]) -> None:
        self._cache = cache
        self._reader = reader
        self._desk = desk

    async def static_orders(self, account_id: int) -> StaticOrders | None:
        """Return an account with its pending and open orders, or None where there is none.

        Raises:
            Unreachable: the cache has nothing and the database is away.
        """
        cached = await self._cache.get_user_static_orders_cache(account_id)
        return await self.refresh(account_id) if cached is None else cached

    async def refresh(self, account_id: int) -> StaticOrders | None:
        """Read an account from the database and fill the cache with it.

        Raises:
            Unreachable: the database is away.
        """
        ticket = await self._cache.open_fill([account_id])
        found = (await self._reader.live_orders([account_id])).get(account_id)
        if found is not None:
            await self._cache.fill_static_orders(ticket, [found])
        return found

    async def process_portfolio_update(self, account_id: int) -> Portfolio | None:
        """Return an account's portfolio now, or None where there is no such account.

        Raises:
            Unreachable: the cache has nothing and the database is away.
        """
        found = await self.static_orders(account_id)
        return None if found is None else value(*found, self._desk())

    async def valuations(self, account_ids: Sequence[int]) -> dict[int, Valuation]:
        """Return what the portfolio job found these accounts worth, where it did lately."""
        return await self._cache.valuations(account_ids)


def value(view: AccountView, orders: Sequence[OrderView], desk: Desk) -> Portfolio:
    """Value an account at the prices of a desk's markets.

    Raises:
        Unavailable: the desk does not know its group yet, or the group's terms on what it holds.
    """
    try:
        account, opened = seat(view, orders, desk)
    except KeyError as error:
        raise Unavailable(f"the settings of group {view.group} are not here yet: retry") from error
    positions = [_position(order) for order in opened]
    equity, free_margin = account.equity(), account.free_margin()
    _unseat(account)
    return Portfolio(
        account_id=view.account_id,
        user_type=view.user_type,
        group=view.group,
        leverage=view.leverage,
        balance=view.balance,
        equity=None if equity is None else format_money(equity),
        margin=format_money(account.margin),
        free_margin=None if free_margin is None else format_money(free_margin),
        margin_level=margin_level(equity, account.margin),
        unpriced=[position.order_id for position in positions if position.profit is None],
        positions=positions,
        sequence=view.sequence,
    )


def seat(view: AccountView, orders: Sequence[OrderView], desk: Desk) -> tuple[Account, list[Order]]:
    """Return an account and its positions, on a desk of their own that shares the live markets."""
    account = Account(
        view.account_id,
        view.user_type,
        desk.groups[view.group],
        Decimal(view.leverage),
        Decimal(view.balance),
        view.sequence,
    )
    # So that nothing of the engine's is touched.
    own = Desk()
    own.accounts[account.account_id] = account
    own.terms = desk.terms
    positions = [
        own.restore(order_state(order, desk.markets[order.symbol].symbol))
        for order in orders
        if order.status is OrderStatus.OPEN
    ]
    return account, positions


def _unseat(account: Account) -> None:
    """Open the circle of an account and its positions, which only the garbage collector would.

    It would look at tens of thousands of them at once, and hold everything up for a tenth of a
    second.
    """
    account.exposures.clear()


def _position(order: Order) -> PositionView:
    market, terms = order.terms.market, order.terms
    price = priced_at = None
    if terms.is_priced:
        points = terms.sell if order.order_type.is_buy else terms.buy
        price, priced_at = format_scaled(points, market.symbol.digits), format_time(market.time)
    profit = position_profit(order)
    return PositionView(
        order_id=order.order_id,
        symbol=market.symbol.name,
        profit=None if profit is None else format_money(profit),
        price=price,
        priced_at=priced_at,
    )


def margin_level(equity: Decimal | None, margin: Decimal) -> str | None:
    """Show equity / margin in percent; None without a margin, or where equity is not known."""
    if equity is None or not margin:
        return None
    return format_money(EXACT.divide(equity.scaleb(2, EXACT), margin))
