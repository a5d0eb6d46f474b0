"""The oracle's dealing: how orders open and close, what is posted, and what is told of it."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

from service.domain.order import OrderType
from tests.property.fact import Fact, PlainDeal, Posted, plain_terms
from tests.property.oracle_swap import SwapValuation
from tests.property.valuation import STOP_LIMITS, PlainAccount, PlainOrder, cents

LIMITS = (OrderType.BUY_LIMIT, OrderType.SELL_LIMIT, *STOP_LIMITS)
MARKET = (OrderType.BUY, OrderType.SELL)


class Closing(NamedTuple):
    """At what a part of a position closes, and the rollovers the whole of it still owes."""

    price: Fraction
    slippage: int
    profit: Fraction
    commission: Fraction
    owed: tuple[tuple[int, Fraction], ...]


class Done(NamedTuple):
    """A deal that was made: the fact, the order it was made on, and as it was before."""

    fact: Fact
    order: PlainOrder
    before: PlainOrder


class Dealing(SwapValuation):
    """Fills, closes and cancellations. `facts` counts what was told, and numbers the deals.

    `touched` are the accounts that something has happened to since a tick was judged. Closings pay
    the rollovers up to `marked_until`, the last that was looked at.
    """

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self.facts = 0
        self.marked_until = 0
        self.touched: set[int] = set()
        self.deals: dict[int, Done] = {}

    def fill(
        self, order: PlainOrder, asked: Fraction | None, price: Fraction, *, limit: bool, buys: bool
    ) -> tuple[Fraction, int]:
        """Return the price a deal is made at and its slippage in points."""
        if asked is None:
            return price, 0
        if self.groups[order.account.group].fill_policy.value == "requested":
            return asked, 0
        if limit:
            price = min(price, asked) if buys else max(price, asked)
        worse = price - asked if buys else asked - price
        return price, int(worse / self.point(order.symbol))

    def quote_opening(self, order: PlainOrder) -> tuple[Fraction, int, Fraction, Fraction] | str:
        """Return price, slippage, margin and commission of opening now, or why it cannot."""
        price, slippage = self.fill(
            order,
            order.asked,
            self.opening_price(order),
            limit=order.order_type in LIMITS,
            buys=order.is_long,
        )
        margin = self.margin_at(order, price)
        free = self.free_margin(order.account)
        commission = self.commission_at(order, price, "entry")
        if margin is None or free is None or commission is None:
            return "NO_RATE"
        if self.additional_margin(order, margin) > free:
            return "INSUFFICIENT_MARGIN"
        return price, slippage, margin, commission

    def additional_margin(self, order: PlainOrder, margin: Fraction) -> Fraction:
        before = self.positions(order.account)
        joined = replace(order, margin=margin)
        return self.hedged_margin([*before, joined]) - self.hedged_margin(before)

    def open(
        self, order: PlainOrder, expected: str | None = "PENDING", time: int | None = None
    ) -> Fact:
        opening = self.quote_opening(order)
        quote = self.quotes[order.symbol]
        if isinstance(opening, str):
            return self.cancel(order, opening, quote.time)
        before = replace(order)
        order.open_price, slippage, order.margin, order.commission = opening
        order.opened_on = quote.number
        order.open_time = quote.time if time is None else time
        self.pull_stop(order)
        postings = self.post(order.account, COMMISSION=-order.commission)
        deal = self.deal("OPEN", order.order_type.value, order, order.open_price, slippage)
        deal = deal._replace(commission=order.commission)
        return self.told("OPENED", order, "OPEN", expected, order.open_time, postings, deal, before)

    def pull_stop(self, order: PlainOrder) -> bool:
        """Move the stop loss of a trailing stop as near as it may; tell whether it moved."""
        if order.trailing is None:
            return False
        level = self.closing_price(order) - order.sign * order.trailing
        if level <= 0:
            return False
        if order.stop_loss is not None and order.sign * (level - order.stop_loss) <= 0:
            return False
        order.stop_loss = level
        return True

    def closing(self, order: PlainOrder, reason: str, volume: int | None = None) -> Closing | None:
        """Return at what an order closes, or `volume` of it; None: it cannot be converted."""
        part = replace(order, volume=order.volume if volume is None else volume)
        asked = {"STOP_LOSS": order.stop_loss, "TAKE_PROFIT": order.take_profit}.get(reason)
        price, slippage = self.fill(
            order,
            asked,
            self.closing_price(order),
            limit=reason == "TAKE_PROFIT",
            buys=not order.is_long,
        )
        profit = self.profit_at(part, price)
        commission = self.commission_at(part, price, "exit")
        if profit is None or commission is None:
            return None
        owed = tuple(self.owed(order, self.marked_until))
        return Closing(price, slippage, cents(profit), commission, owed)

    def close(
        self, order: PlainOrder, reason: str, time: int, volume: int | None = None
    ) -> Fact | None:
        """Close a position or `volume` of it; None: it cannot be converted, and stays as it is."""
        closing = self.closing(order, reason, volume)
        if closing is None:
            return None
        before, account = replace(order), order.account
        is_whole = volume is None or volume == order.volume
        assert order.commission is not None
        assert order.margin is not None
        order.commission += closing.commission
        order.profit = (order.profit or 0) + closing.profit
        swap = self.count_swap(order, closing.owed)
        postings = self.post(
            account, SWAP=swap, PROFIT=closing.profit, COMMISSION=-closing.commission
        )
        deal = self.deal(
            "CLOSE" if is_whole else "PARTIAL_CLOSE", reason, order, closing.price, closing.slippage
        )
        deal = deal._replace(profit=closing.profit, commission=closing.commission)
        if reason == "STOP_OUT":
            deal = deal._replace(time=time)
        if not is_whole:
            assert volume is not None
            rest = order.volume - volume
            order.margin = order.margin * rest / order.volume
            order.volume = rest
            deal = deal._replace(volume=volume)
            return self.told(
                "PARTIALLY_CLOSED", order, "OPEN", "OPEN", time, postings, deal, before
            )
        self.orders.remove(order)
        if not self.positions(account):
            account.in_margin_call = False
            if account.balance < 0 and self.groups[account.group].negative_balance_protection:
                postings += self.post(account, NEGATIVE_BALANCE=-account.balance)
        return self.told("CLOSED", order, "CLOSED", "OPEN", time, postings, deal, before)

    # Swap

    def mark(self, now: int) -> None:
        """Look at the rollovers up to now: who closes before the run to come pays what it owes."""
        self.marked_until = now

    def charge_swaps(self) -> list[Fact]:
        """Charge what is owed: by position, all rollovers of one together."""
        facts = []
        for order in [o for o in self.orders if o.is_open]:
            owed = self.owed(order, self.marked_until)
            amount = self.count_swap(order, owed)
            if amount:
                postings = self.post(order.account, SWAP=amount)
                last = owed[-1][0]
                facts.append(self.told("SWAP_CHARGED", order, "OPEN", "OPEN", last, postings))
        return facts

    def count_swap(self, order: PlainOrder, owed: Sequence[tuple[int, Fraction]]) -> Fraction:
        """Note rollovers as charged, and return their sum."""
        total = Fraction(0)
        for instant, amount in owed:
            order.swapped_until = instant
            total += amount
        if total:
            order.swap = (order.swap or 0) + total
        return total

    def cancel(self, order: PlainOrder, reason: str, time: int) -> Fact:
        self.orders.remove(order)
        balance = order.account.balance
        nothing = (None, None, None, Fraction(0), Fraction(0), balance, None, None)
        deal = PlainDeal("CANCEL", reason, *nothing, time, None)
        return self.told("CANCELLED", order, "CANCELLED", "PENDING", time, (), deal)

    def deal(
        self, event: str, reason: str, order: PlainOrder, price: Fraction, slippage: int
    ) -> PlainDeal:
        """Return a deal of the whole order at the last quote, before what it earns and costs."""
        group = order.account.group
        return PlainDeal(
            event,
            reason,
            order.volume,
            price,
            slippage,
            Fraction(0),
            Fraction(0),
            order.account.balance,
            self.sell_price(group, order.symbol),
            self.buy_price(group, order.symbol),
            self.quotes[order.symbol].time,
            None,
        )

    def post(self, account: PlainAccount, **amounts: Fraction) -> tuple[Posted, ...]:
        postings = []
        for kind, amount in amounts.items():
            if amount:
                account.balance += amount
                postings.append((kind, amount, account.balance))
        return tuple(postings)

    # What is told

    def told(
        self,
        kind: str,
        order: PlainOrder,
        status: str,
        expected: str | None,
        time: int,
        postings: tuple[Posted, ...] = (),
        deal: PlainDeal | None = None,
        before: PlainOrder | None = None,
    ) -> Fact:
        """Tell what happened to an order; of a deal also how the order was `before`."""
        fact = self.told_of_account(kind, order.account, time, postings)._replace(
            order_id=order.order_id,
            status=status,
            expected=expected,
            order=plain_terms(order),
            deal=deal,
            order_margin=order.margin,
        )
        if deal is not None:
            self.deals[self.facts] = Done(fact, order, before or order)
        return fact

    def told_of_account(
        self, kind: str, account: PlainAccount, time: int, postings: tuple[Posted, ...] = ()
    ) -> Fact:
        account.sequence += 1
        self.facts += 1
        self.touched.add(account.account_id)
        return Fact(
            kind,
            time,
            self.ticks,
            account.account_id,
            account.sequence,
            account.balance,
            account.in_margin_call,
            postings,
            self.margin(account),
        )
