"""Accounts: balance, positions by symbol, and the hedged margin they need.

Order margin = lots * contract_size * price / leverage * margin_factor, converted as a loss and
fixed at the fill price. Hedged margin of a symbol = max(sum of the long leg, sum of the short leg),
the "larger leg" rule; an account's margin is the sum over its symbols. All exact, in USD.
"""

from decimal import Decimal
from typing import TYPE_CHECKING

from service.domain.instrument import Group, UserType
from service.domain.market import Terms
from service.domain.money import EXACT, ZERO
from service.domain.order import Order

if TYPE_CHECKING:
    from service.domain.watch import Watch


class Exposure:
    """An account's positions in one symbol, all under the same terms.

    Sums of volume, and of volume times open price, make the live profit of any number of positions
    one integer product where no conversion depends on a position's sign. Where one does, gains and
    losses are summed once for the prices of a tick and then kept up by what opens and closes.
    """

    __slots__ = (
        "_buy",
        "_gains",
        "_long_cost",
        "_losses",
        "_sell",
        "_short_cost",
        "long_margin",
        "long_volume",
        "positions",
        "short_margin",
        "short_volume",
        "terms",
    )

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.positions: dict[int, Order] = {}
        self.long_margin = ZERO
        self.short_margin = ZERO
        self.long_volume = self._long_cost = 0
        self.short_volume = self._short_cost = 0
        self._buy = self._sell = 0
        self._gains = self._losses = 0

    @property
    def margin(self) -> Decimal:
        return max(self.long_margin, self.short_margin)

    def margin_with(self, margin: Decimal, *, is_long: bool) -> Decimal:
        """Return the hedged margin once a position of `margin` has joined a leg."""
        if is_long:
            return max(EXACT.add(self.long_margin, margin), self.short_margin)
        return max(self.long_margin, EXACT.add(self.short_margin, margin))

    def add(self, order: Order) -> None:
        self.positions[order.order_id] = order
        assert order.margin is not None
        self._change_leg(order, order.margin, order.volume)

    def remove(self, order: Order) -> None:
        del self.positions[order.order_id]
        assert order.margin is not None
        self._change_leg(order, order.margin.copy_negate(), -order.volume)

    def _change_leg(self, order: Order, margin: Decimal, volume: int) -> None:
        assert order.open_price is not None
        cost = volume * order.open_price
        if order.order_type.is_buy:
            self.long_margin = EXACT.add(self.long_margin, margin)
            self.long_volume += volume
            self._long_cost += cost
            self._count(self._sell * volume - cost, is_gain=self._sell > order.open_price)
        else:
            self.short_margin = EXACT.add(self.short_margin, margin)
            self.short_volume += volume
            self._short_cost += cost
            self._count(cost - self._buy * volume, is_gain=order.open_price > self._buy)

    def _count(self, points: int, *, is_gain: bool) -> None:
        if is_gain:
            self._gains += points
        else:
            self._losses += points

    def profit(self) -> Decimal | None:
        """Return the live profit at the group's closing prices, USD; None: it cannot be priced."""
        terms = self.terms
        market = terms.market
        if not terms.is_priced:
            return None
        rate = market.rate
        if rate.is_account_currency:
            return EXACT.multiply(market.profit_scale, self.points())
        gains, losses = self.gains_and_losses()
        gain = rate.gain(EXACT.multiply(market.profit_scale, gains))
        loss = rate.gain(EXACT.multiply(market.profit_scale, losses))
        return None if gain is None or loss is None else EXACT.add(gain, loss)

    def points(self) -> int:
        """Return the live profit in points times volume units."""
        terms = self.terms
        return (
            terms.sell * self.long_volume
            - self._long_cost
            + self._short_cost
            - terms.buy * self.short_volume
        )

    def gains_and_losses(self) -> tuple[int, int]:
        """Return the live profits (>= 0) and losses (<= 0) in points times volume units."""
        sell, buy = self.terms.sell, self.terms.buy
        if (sell, buy) != (self._sell, self._buy):
            self._value(sell, buy)
        return self._gains, self._losses

    def _value(self, sell: int, buy: int) -> None:
        self._sell, self._buy = sell, buy
        self._gains = self._losses = 0
        for order in self.positions.values():
            assert order.open_price is not None
            if order.order_type.is_buy:
                points = (sell - order.open_price) * order.volume
            else:
                points = (order.open_price - buy) * order.volume
            self._count(points, is_gain=points > 0)


class Account:
    """An account as the engine keeps it. `sequence` counts what has happened to it.

    `in_margin_call`: its level fell below the group's margin call, and has not recovered. `watches`
    are its price bands by market.
    """

    __slots__ = (
        "account_id",
        "balance",
        "exposures",
        "group",
        "in_margin_call",
        "leverage",
        "margin",
        "sequence",
        "user_type",
        "watches",
    )

    def __init__(
        self,
        account_id: int,
        user_type: UserType,
        group: Group,
        leverage: Decimal,
        balance: Decimal,
        sequence: int = 0,
        *,
        in_margin_call: bool = False,
    ) -> None:
        self.account_id = account_id
        self.user_type = user_type
        self.group = group
        self.leverage = leverage
        self.balance = balance
        self.sequence = sequence
        self.in_margin_call = in_margin_call
        self.margin = ZERO
        self.exposures: dict[str, Exposure] = {}
        self.watches: dict[str, Watch] = {}

    def additional_margin(self, symbol: str, margin: Decimal, *, is_long: bool) -> Decimal:
        """Return how much the account's margin grows if a position of `margin` opens, USD >= 0."""
        exposure = self.exposures.get(symbol)
        if exposure is None:
            return margin
        return EXACT.subtract(exposure.margin_with(margin, is_long=is_long), exposure.margin)

    def add_position(self, order: Order) -> None:
        """Count an opened order among the positions."""
        symbol = order.terms.market.symbol.name
        exposure = self.exposures.get(symbol)
        if exposure is None:
            exposure = self.exposures[symbol] = Exposure(order.terms)
        before = exposure.margin
        exposure.add(order)
        self.margin = EXACT.add(self.margin, EXACT.subtract(exposure.margin, before))

    def remove_position(self, order: Order) -> None:
        """Take an order that closes out of the positions."""
        symbol = order.terms.market.symbol.name
        exposure = self.exposures[symbol]
        before = exposure.margin
        exposure.remove(order)
        if exposure.positions:
            self.margin = EXACT.add(self.margin, EXACT.subtract(exposure.margin, before))
            return
        del self.exposures[symbol]
        # Without positions nothing of what rounding may have left stays behind.
        self.margin = EXACT.subtract(self.margin, before) if self.exposures else ZERO

    def resize_position(self, order: Order, volume: int) -> None:
        """Make a position larger or smaller; its margin changes in proportion."""
        self.remove_position(order)
        assert order.margin is not None
        order.margin = EXACT.divide(EXACT.multiply(order.margin, volume), order.volume)
        order.volume = volume
        self.add_position(order)

    def profit(self) -> Decimal | None:
        """Return the live profit of all positions in USD; None: a position cannot be priced."""
        total = ZERO
        for exposure in self.exposures.values():
            profit = exposure.profit()
            if profit is None:
                return None
            total = EXACT.add(total, profit)
        return total

    def equity(self) -> Decimal | None:
        """Return balance + live profit in USD; None: a position cannot be priced."""
        profit = self.profit()
        return None if profit is None else EXACT.add(self.balance, profit)

    def free_margin(self) -> Decimal | None:
        """Return equity - margin in USD; None: a position cannot be priced."""
        equity = self.equity()
        return None if equity is None else EXACT.subtract(equity, self.margin)


def position_profit(order: Order) -> Decimal | None:
    """Return the live profit of a position at its group's closing price, USD; None: no price."""
    terms = order.terms
    if not terms.is_priced:
        return None
    return profit_at(order, terms.sell if order.order_type.is_buy else terms.buy, order.volume)


def profit_at(order: Order, close_price: int, volume: int) -> Decimal | None:
    """Return the exact profit in USD of closing a volume at a price in points; None: no rate."""
    assert order.open_price is not None
    points = close_price - order.open_price
    if not order.order_type.is_buy:
        points = -points
    market = order.terms.market
    return market.rate.gain(EXACT.multiply(market.profit_scale, points * volume))


def order_margin(order: Order, price: int) -> Decimal | None:
    """Return the margin of opening at `price` points in USD, exact; None: no rate."""
    terms = order.terms
    notional = EXACT.multiply(terms.market.profit_scale, price * order.volume)
    margin = EXACT.divide(
        EXACT.multiply(notional, terms.settings.margin_factor), order.account.leverage
    )
    return terms.market.rate.loss(margin)
