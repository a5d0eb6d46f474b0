"""A brute-force oracle of the trading rules, written from the design, not from the engine.

It keeps every order in a plain list and judges every order of a symbol, and every account, on every
tick, by real prices: no books, no normalised triggers, no price bands, no floats, no decimals.
"""

from fractions import Fraction

from service.domain.instrument import TradingState
from service.domain.order import OrderType
from service.domain.quote import QuoteRefusal
from tests.property.fact import Fact
from tests.property.oracle_dealing import MARKET
from tests.property.oracle_margin import MarginOracle
from tests.property.valuation import SECOND, STOP_LIMITS, PlainOrder, PlainQuote

MAX_AGE = 10 * SECOND
MAX_AHEAD = 1 * SECOND
FALLS = (OrderType.BUY_LIMIT, OrderType.SELL_STOP, OrderType.SELL_STOP_LIMIT)
CLOSES = ("STOP_LOSS", "TAKE_PROFIT")
OPENS = ("OPEN", "ACTIVATE")


class Oracle(MarginOracle):
    """The rules of a tick over plain lists. `deferred` counts closes that could not be dealt."""

    deferred = 0

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
        if not self.in_session(symbol, time):
            return QuoteRefusal.SESSION_CLOSED
        self.quotes[symbol] = PlainQuote(bid, ask, time, self.ticks)
        facts = self.expire(now)
        if self.symbols[symbol].trading_state is TradingState.HALTED:
            return facts
        facts += self.judge_orders(symbol, time)
        facts += self.trail(symbol, time)
        touched, self.touched = self.touched, set()
        for number, account in sorted(self.accounts.items()):
            if self.groups[account.group].trading_state is TradingState.HALTED:
                continue
            if number in touched or self.depends(account, symbol):
                facts += self.judge_account(account, symbol)
        self.touched.clear()
        return facts

    def expire(self, now: int) -> list[Fact]:
        """Cancel the pending orders whose time has come, by their times."""
        expired = [
            (order.expires_at, order.order_id, order)
            for order in self.orders
            if not order.is_open and order.expires_at is not None and order.expires_at <= now
        ]
        return [self.cancel(order, "EXPIRED", now) for _, _, order in sorted(expired)]

    def judge_orders(self, symbol: str, time: int) -> list[Fact]:
        """Close, then open and activate, what the last quote reaches."""
        facts = []
        reached = [(o, self.reached(o)) for o in self.orders if o.symbol == symbol]
        for order, what in reached:
            if what in CLOSES and self.may_close(order):
                fact = self.close(order, what, time)
                if fact is None:
                    self.deferred += 1
                else:
                    facts.append(fact)
        for order, what in reached:
            if what in OPENS and self.may_open(order):
                facts.append(self.open(order) if what == "OPEN" else self.activate(order))
        return facts

    def reached(self, order: PlainOrder) -> str:
        """Return what the last quote does to an order, one of CLOSES or OPENS, or NOTHING."""
        near = self.symbols[order.symbol].trigger_tolerance_points * self.point(order.symbol)
        if not order.is_open:
            return self.reached_pending(order, near)
        if order.opened_on == self.quotes[order.symbol].number:
            return "NOTHING"
        price, sign = self.closing_price(order), order.sign
        if order.stop_loss is not None and sign * (price - order.stop_loss) <= near:
            return "STOP_LOSS"
        if order.take_profit is not None and sign * (price - order.take_profit) >= -near:
            return "TAKE_PROFIT"
        return "NOTHING"

    def reached_pending(self, order: PlainOrder, near: Fraction) -> str:
        if order.order_type in MARKET:
            return "OPEN"
        price, asked, falls = self.opening_price(order), order.price, order.order_type in FALLS
        what = "ACTIVATE" if order.order_type in STOP_LIMITS else "OPEN"
        if order.activated_on is not None:
            if order.activated_on == self.quotes[order.symbol].number:
                return "NOTHING"
            what, asked, falls = "OPEN", order.limit_price, order.is_long
        assert asked is not None
        is_there = price <= asked + near if falls else price >= asked - near
        return what if is_there else "NOTHING"

    def activate(self, order: PlainOrder) -> Fact:
        """Let a stop-limit order wait at its limit price from now on."""
        quote = self.quotes[order.symbol]
        order.activated_time, order.activated_on = quote.time, quote.number
        return self.told("ACTIVATED", order, "PENDING", "PENDING", quote.time)

    def trail(self, symbol: str, time: int) -> list[Fact]:
        """Move the trailing stops that the last quote lets nearer."""
        return [
            self.told("TRAILED", order, "OPEN", "OPEN", time)
            for order in self.orders
            if order.symbol == symbol
            and order.is_open
            and order.opened_on != self.quotes[symbol].number
            and self.may_close(order)
            and self.pull_stop(order)
        ]
