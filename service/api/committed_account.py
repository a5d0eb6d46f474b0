"""An account as committed: read once, kept up by its events, valued at the markets of this process.

The engine's memory runs ahead of what is committed, by the milliseconds of a commit or for as long
as the database is away. A trader is told of an order once it is committed, so what is shown of an
account is valued from the same facts: the orders as stored plus the events since, never the
engine's own positions. Prices are the live ones. Values come from the domain's own arithmetic, so
that they agree to the cent with the engine's for the same orders, and with `value`.

What prices an account is looked up again where the desk is another one or has grown.
"""

from collections.abc import Sequence

import msgspec

from service.api.messages import PortfolioUpdate, PositionValue
from service.domain.account import Account, position_profit
from service.domain.desk import Desk
from service.domain.market import Market
from service.domain.money import ACCOUNT_CURRENCY, EXACT, format_money
from service.domain.order import Order, OrderStatus
from service.loops.portfolio import margin_level, seat
from service.storage.views import AccountView, EventView, OrderView, format_price

# An event says of its account what the account's view says under the same name.
_TOLD = frozenset(AccountView.__struct_fields__) & frozenset(EventView.__struct_fields__)
_OPEN = OrderStatus.OPEN
_LIVE = frozenset({OrderStatus.PENDING, OrderStatus.OPEN})

Binding = tuple[Desk, int, int]


def binding_of(desk: Desk) -> Binding:
    """Return what changes when accounts are to be priced anew by a desk."""
    return desk, len(desk.markets), len(desk.terms)


class CommittedAccount:
    """One account and its live orders, up to `view.sequence`."""

    __slots__ = ("_account", "_bound_to", "_orders", "_positions", "_symbols", "view")

    def __init__(self, view: AccountView, orders: Sequence[OrderView]) -> None:
        self.view = view
        self._orders = {order.order_id: order for order in orders}
        self._bound_to: Binding | None = None
        self._account: Account | None = None
        self._positions: list[Order] = []
        self._symbols: frozenset[str] = frozenset()

    @property
    def orders(self) -> list[OrderView]:
        """The live orders."""
        return list(self._orders.values())

    def renew(self, view: AccountView, orders: Sequence[OrderView]) -> None:
        """Take over a later reading of the account."""
        self.view = view
        self._orders = {order.order_id: order for order in orders}
        self._bound_to = None

    def follow(self, event: EventView) -> None:
        """Take over what has happened; events come in order."""
        told = {name: getattr(event, name) for name in _TOLD}
        self.view = msgspec.structs.replace(self.view, **told)
        order = event.order
        if order is not None:
            if order.status in _LIVE:
                self._orders[order.order_id] = order
            else:
                self._orders.pop(order.order_id, None)
        self._bound_to = None

    def symbols(self, desk: Desk) -> frozenset[str]:
        """Return the symbols whose quotes change what the account is worth."""
        self._bind(desk)
        return self._symbols

    def portfolio(self, desk: Desk) -> PortfolioUpdate | None:
        """Value the account now; None: the desk lacks its group, or terms on a symbol it holds."""
        self._bind(desk)
        account = self._account
        if account is None:
            return None
        positions = [_value(order) for order in self._positions]
        equity, margin = account.equity(), account.margin
        # By position: keywords take five times as long.
        return PortfolioUpdate(
            account.account_id,
            self.view.sequence,
            self.view.balance,
            None if equity is None else format_money(equity),
            format_money(margin),
            None if equity is None else format_money(EXACT.subtract(equity, margin)),
            margin_level(equity, margin),
            [each.order_id for each in positions if each.profit is None],
            positions,
        )

    def _bind(self, desk: Desk) -> None:
        """Make orders of the domain out of the views, at the markets of a desk."""
        bound_to = binding_of(desk)
        if self._bound_to == bound_to:
            return
        self._bound_to = bound_to
        self._account, self._positions, self._symbols = None, [], frozenset()
        view = self.view
        held = [order for order in self._orders.values() if order.status is _OPEN]
        if view.group not in desk.groups or any(
            (view.group, order.symbol) not in desk.terms for order in held
        ):
            return
        self._account, self._positions = seat(view, held, desk)
        self._symbols = frozenset(
            name
            for market in {order.terms.market for order in self._positions}
            for name in _priced_by(market, desk)
        )


def _priced_by(market: Market, desk: Desk) -> list[str]:
    """Return the symbols a profit on a market depends on: itself, and what may convert it."""
    symbol = market.symbol
    if symbol.profit_currency == ACCOUNT_CURRENCY:
        return [symbol.name]
    pair = {symbol.profit_currency, ACCOUNT_CURRENCY}
    return [
        symbol.name,
        *(
            name
            for name, each in desk.markets.items()
            if {each.symbol.base_currency, each.symbol.profit_currency} == pair
        ),
    ]


def _value(order: Order) -> PositionValue:
    terms = order.terms
    if not terms.is_priced:
        return PositionValue(order.order_id, None, None)
    profit = position_profit(order)
    points = terms.sell if order.order_type.is_buy else terms.buy
    return PositionValue(
        order.order_id,
        format_price(points, terms.market.symbol.digits),
        None if profit is None else format_money(profit),
    )
