"""A brute-force oracle of the trading rules, written from the design, not from the engine.

It keeps every order in a plain list and judges every order of a symbol on every tick, by real
prices: no books, no normalised triggers, no floats, no decimals.
"""

from dataclasses import replace
from fractions import Fraction

from service.domain.order import OrderType
from service.domain.quote import QuoteRefusal
from tests.property.fact import Fact, Posted
from tests.property.valuation import PlainAccount, PlainOrder, PlainQuote, Valuation, cents

SECOND = 1_000_000_000
MAX_AGE = 10 * SECOND
MAX_AHEAD = 1 * SECOND
LIMITS = (OrderType.BUY_LIMIT, OrderType.SELL_LIMIT)
MARKET = (OrderType.BUY, OrderType.SELL)
CLOSES = ("STOP_LOSS", "TAKE_PROFIT")


class Oracle(Valuation):
    """The rules over plain lists."""

    # Ticks

    def on_quote(
        self, symbol: str, bid: Fraction, ask: Fraction, time: int, now: int
    ) -> list[Fact] | QuoteRefusal:
        self.ticks += 1
        last = self.quotes.get(symbol)
        if symbol not in self.symbols:
            return QuoteRefusal.UNKNOWN_SYMBOL
        if min(bid, ask) <= 0:
            return QuoteRefusal.NOT_POSITIVE
        if bid > ask:
            return QuoteRefusal.CROSSED
        if last is not None and time < last.time:
            return QuoteRefusal.OUT_OF_ORDER
        if now - time > MAX_AGE:
            return QuoteRefusal.STALE
        if time - now > MAX_AHEAD:
            return QuoteRefusal.FUTURE
        self.quotes[symbol] = PlainQuote(bid, ask, time, self.ticks)
        reached = [(o, self.reached(o)) for o in self.orders if o.symbol == symbol]
        facts = [self.close(order, reason) for order, reason in reached if reason in CLOSES]
        facts += [self.open(order) for order, reason in reached if reason == "OPEN"]
        return [fact for fact in facts if fact is not None]

    def reached(self, order: PlainOrder) -> str:
        """Return what the last quote does to an order: OPEN, STOP_LOSS, TAKE_PROFIT, NOTHING."""
        near = self.symbols[order.symbol].trigger_tolerance_points * self.point(order.symbol)
        if order.open_price is None:
            if order.order_type in MARKET:
                return "OPEN"
            assert order.price is not None
            price = self.opening_price(order)
            if order.order_type in (OrderType.BUY_LIMIT, OrderType.SELL_STOP):
                return "OPEN" if price <= order.price + near else "NOTHING"
            return "OPEN" if price >= order.price - near else "NOTHING"
        if order.opened_on == self.quotes[order.symbol].number:
            return "NOTHING"
        price, sign = self.closing_price(order), 1 if order.is_long else -1
        if order.stop_loss is not None and sign * (price - order.stop_loss) <= near:
            return "STOP_LOSS"
        if order.take_profit is not None and sign * (price - order.take_profit) >= -near:
            return "TAKE_PROFIT"
        return "NOTHING"

    # Fills

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
            order.price,
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
        if isinstance(opening, str):
            return self.cancel(order, opening, self.quotes[order.symbol].time)
        order.open_price, slippage, order.margin, order.commission = opening
        order.opened_on = self.quotes[order.symbol].number
        postings = self.post(order.account, COMMISSION=-order.commission)
        return self.fact(
            "OPENED",
            order,
            "OPEN",
            expected,
            time,
            postings,
            event="OPEN",
            reason=order.order_type.value,
            deal_price=order.open_price,
            slippage=slippage,
            charge=order.commission,
        )

    def close(self, order: PlainOrder, reason: str, time: int | None = None) -> Fact | None:
        """Close a position; None: it cannot be converted, and stays as it is."""
        asked = {"STOP_LOSS": order.stop_loss, "TAKE_PROFIT": order.take_profit}.get(reason)
        price, slippage = self.fill(
            order,
            asked,
            self.closing_price(order),
            limit=reason == "TAKE_PROFIT",
            buys=not order.is_long,
        )
        profit = self.profit_at(order, price)
        commission = self.commission_at(order, price, "exit")
        if profit is None or commission is None:
            self.deferred += 1
            return None
        self.orders.remove(order)
        assert order.commission is not None
        order.commission += commission
        postings = self.post(order.account, PROFIT=cents(profit), COMMISSION=-commission)
        return self.fact(
            "CLOSED",
            order,
            "CLOSED",
            "OPEN",
            time,
            postings,
            event="CLOSE",
            reason=reason,
            deal_price=price,
            slippage=slippage,
            profit=cents(profit),
            charge=commission,
        )

    def cancel(self, order: PlainOrder, reason: str, time: int) -> Fact:
        self.orders.remove(order)
        return self.fact(
            "CANCELLED", order, "CANCELLED", "PENDING", time, (), event="CANCEL", reason=reason
        )

    def post(self, account: PlainAccount, **amounts: Fraction) -> tuple[Posted, ...]:
        postings = []
        for kind, amount in amounts.items():
            if amount:
                account.balance += amount
                postings.append((kind, amount, account.balance))
        return tuple(postings)

    def fact(
        self,
        kind: str,
        order: PlainOrder,
        status: str,
        expected: str | None,
        time: int | None,
        postings: tuple[Posted, ...] = (),
        *,
        event: str | None = None,
        reason: str | None = None,
        deal_price: Fraction | None = None,
        slippage: int | None = None,
        profit: Fraction = Fraction(0),
        charge: Fraction = Fraction(0),
    ) -> Fact:
        """Tell what happened; `time` None: at the time of the quote."""
        account = order.account
        account.sequence += 1
        if time is None:
            time = self.quotes[order.symbol].time
        deal = None
        if event is not None:
            filled = deal_price is not None
            deal = (
                event,
                reason,
                order.volume if filled else None,
                deal_price,
                slippage,
                profit,
                charge,
                account.balance,
                self.sell_price(account.group, order.symbol) if filled else None,
                self.buy_price(account.group, order.symbol) if filled else None,
                self.quotes[order.symbol].time if filled else time,
            )
        return Fact(
            kind,
            time,
            self.ticks,
            account.account_id,
            account.sequence,
            account.balance,
            order.order_id,
            status,
            expected,
            (order.volume, order.price, order.stop_loss, order.take_profit),
            (order.open_price, order.commission),
            deal,
            postings,
            margin=self.hedged_margin(self.positions(account)),
            order_margin=order.margin,
        )
