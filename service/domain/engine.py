"""The engine: quotes in, decisions out.

`on_quote` guards a quote, makes it the last one and judges what it triggers
(`service.domain.judgement`). It decides synchronously and changes memory at once, so that results
never depend on how long a commit takes. A quote that triggers nothing costs the guards and a few
comparisons, however many orders rest and however many accounts are exposed.

A position opened on a tick is judged for its own stop loss and take profit from the symbol's next
tick.
"""

from collections.abc import Iterable, Sequence

from service.domain.account import Account
from service.domain.dealing import cancel_order
from service.domain.decision import Decision
from service.domain.desk import Desk
from service.domain.judgement import judge_order, judge_tick
from service.domain.market import Market
from service.domain.order import CancelReason, OrderState, OrderStatus
from service.domain.quote import JUMP_CONFIRMATIONS, Quote, QuoteGuard, QuoteRefusal
from service.domain.swap import note_owing
from service.domain.watch import watch_all

_NOTHING: tuple[Decision, ...] = ()
_PENDING, _OPEN = OrderStatus.PENDING, OrderStatus.OPEN
_DEFAULT_JUMP_SHARE = 50  # a move of more than 1/50 of the last bid needs confirmation


class Engine:
    """Judges quotes against one desk."""

    def __init__(self, desk: Desk, guard: QuoteGuard) -> None:
        self.desk = desk
        self.guard = guard
        self._markets = desk.markets
        self._expiries = desk.expiries
        self._max_age_ns = guard.max_age_ns
        self._min_age_ns = -guard.max_future_ns

    def on_quote(self, quote: Quote, now: int) -> Sequence[Decision] | QuoteRefusal:
        """Take a quote at clock `now` (ns UTC) and decide what it triggers.

        Returns:
            The decisions in their order (mostly none), or why the quote was refused.
        """
        refusal = self.admit(quote, now)
        if refusal is not None:
            return refusal
        market = self._markets[quote.symbol]
        bid, ask = quote.bid, quote.ask
        if now >= self._expiries.next:
            return [*self.expire(now), *judge_tick(self.desk, market)]
        if (
            ask <= market.ask_at_most.top
            or ask >= market.ask_at_least.top
            or bid <= market.bid_at_most.top
            or bid >= market.bid_at_least.top
            or ask - bid >= market.spread_at_least.top
            or self.desk.changed
        ):
            return judge_tick(self.desk, market)
        return _NOTHING

    def admit(self, quote: Quote, now: int) -> QuoteRefusal | None:
        """Guard a quote and make it the symbol's last one, judging nothing."""
        self.desk.tick += 1
        symbol, bid, ask, time = quote
        market = self._markets.get(symbol)
        if market is None:
            return QuoteRefusal.UNKNOWN_SYMBOL
        if bid <= 0 or ask <= 0:
            return QuoteRefusal.NOT_POSITIVE
        if bid > ask:
            return QuoteRefusal.CROSSED
        if time < market.time:
            return QuoteRefusal.OUT_OF_ORDER
        age = now - time
        if age > self._max_age_ns:
            return QuoteRefusal.STALE
        if age < self._min_age_ns:
            return QuoteRefusal.FUTURE
        if time >= market.session_until and not market.enter_session(time):
            return QuoteRefusal.SESSION_CLOSED
        if self.guard.check_jumps and self._jumps(market, bid, ask):
            return QuoteRefusal.JUMP
        market.bid = bid
        market.ask = ask
        market.time = time
        market.tick = self.desk.tick
        return None

    def _jumps(self, market: Market, bid: int, ask: int) -> bool:
        """Tell whether a quote leaps from the last one, and is not yet confirmed by others."""
        last_bid = market.bid
        if not last_bid:
            return False
        limit = market.symbol.max_jump_points or last_bid // _DEFAULT_JUMP_SHARE or 1
        if abs(bid - last_bid) <= limit and abs(ask - market.ask) <= limit:
            market.jump_count = 0
            return False
        if (
            market.jump_count
            and abs(bid - market.jump_bid) <= limit
            and abs(ask - market.jump_ask) <= limit
        ):
            market.jump_count += 1
        else:
            market.jump_count = 1
        market.jump_bid = bid
        market.jump_ask = ask
        if market.jump_count < JUMP_CONFIRMATIONS:
            return True
        market.jump_count = 0
        return False

    # The sweep, and the way in and out of memory

    def judge_order(self, order_id: int) -> Decision | None:
        """Judge one order against the last quote: the sweep's repair of a missed trigger.

        Returns:
            The decision, or None where the order is not live, nothing of it is crossed, or its
            symbol was not quoted since it was armed, or since its trading state changed: then no
            tick has missed it.
        """
        order = self.desk.orders.get(order_id)
        if order is None or order.account.account_id in self.desk.faults:
            return None
        market = order.terms.market
        if max(order.armed_tick, market.reopened_tick) >= market.tick:
            return None
        return judge_order(self.desk, order)

    def expire(self, now: int) -> list[Decision]:
        """Cancel the pending orders that have expired at `now` (ns UTC), quotes or not."""
        desk = self.desk
        decisions = []
        for order in desk.expiries.pop(now):
            if order.account.account_id in desk.faults:
                continue
            try:
                desk.disarm(order)
                decisions.append(cancel_order(desk, order, CancelReason.EXPIRED, now))
            except Exception as error:
                desk.fault(order.account, order.order_id, error)
        return decisions

    def load(self, orders: Iterable[OrderState]) -> None:
        """Take stored live orders into memory and rest their triggers."""
        for state in orders:
            self.desk.arm(self.desk.restore(state))

    def begin(self) -> None:
        """Set the price bands of all accounts: once everything is loaded, prices included."""
        watch_all(self.desk)

    def examine_all(self) -> None:
        """Have every account judged on the next tick: a replay that resumes within one."""
        self.desk.changed.update(self.desk.accounts)

    def reload(
        self, account: Account, orders: Iterable[OrderState], failed_order_id: int | None
    ) -> list[Decision]:
        """Replace an account and its orders by what is stored, after a decision failed.

        What the last quotes trigger is judged anew: closes first, oldest first. The order that
        failed waits for its symbol's next quote, lest it fail for ever at the same one.
        """
        desk = self.desk
        desk.take_out(account.account_id)
        account.group = desk.groups[account.group.name]  # which may have changed since it was read
        desk.accounts[account.account_id] = account
        states = sorted(orders, key=_closes_first)
        self.load(states)
        for state in states:
            note_owing(desk, desk.orders[state.order_id])
        desk.changed[account.account_id] = account
        decisions = []
        for state in states:
            if state.order_id == failed_order_id:
                continue
            try:
                decision = judge_order(desk, desk.orders[state.order_id])
            except Exception as error:
                desk.fault(account, state.order_id, error)
                break
            if decision is not None:
                decisions.append(decision)
        return decisions


def _closes_first(state: OrderState) -> tuple[bool, int]:
    return state.status is _PENDING, state.order_id
