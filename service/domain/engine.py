"""The engine: quotes in, decisions out.

`on_quote` guards a quote, makes it the last one and judges what it triggers: closes first, then
openings, oldest order first within each. It decides synchronously and changes memory at once, so
that results never depend on how long a commit takes. A quote that triggers nothing costs the
guards and four comparisons, however many orders rest.

A position opened on a tick is judged for its own stop loss and take profit from the symbol's next
tick. A close without a conversion rate, and whatever a markup leaves no group price above zero for,
stays armed and is counted in `deferred_triggers`.
"""

from collections.abc import Iterable, Sequence

from service.domain.account import Account
from service.domain.book import TriggerBook
from service.domain.dealing import cancel_order, close_order, open_order, price_opening
from service.domain.decision import Decision
from service.domain.desk import Desk
from service.domain.market import Market
from service.domain.order import CancelReason, CloseReason, Order, OrderState, OrderStatus
from service.domain.quote import JUMP_CONFIRMATIONS, Quote, QuoteGuard, QuoteRefusal

_NOTHING: tuple[Decision, ...] = ()
_PENDING, _OPEN = OrderStatus.PENDING, OrderStatus.OPEN
_DEFAULT_JUMP_SHARE = 50  # a move of more than 1/50 of the last bid needs confirmation


class Engine:
    """Judges quotes against one desk."""

    def __init__(self, desk: Desk, guard: QuoteGuard) -> None:
        self.desk = desk
        self.guard = guard
        self.deferred_triggers = 0
        self._markets = desk.markets
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
        if (
            ask <= market.ask_at_most.top
            or ask >= market.ask_at_least.top
            or bid <= market.bid_at_most.top
            or bid >= market.bid_at_least.top
        ):
            return self._judge(market)
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

    def _judge(self, market: Market) -> list[Decision]:
        desk = self.desk
        closes: list[tuple[int, TriggerBook, int, Order]] = []
        opens: list[tuple[int, Order]] = []
        held: list[tuple[TriggerBook, int, Order]] = []
        # A tolerance lets one tick reach both levels of a position: the stop loss then counts, so
        # its book comes before that of the take profit, on both sides.
        for book, price in (
            (market.ask_at_least, market.ask),
            (market.ask_at_most, market.ask),
            (market.bid_at_most, market.bid),
            (market.bid_at_least, market.bid),
        ):
            for trigger, order_id in book.pop_crossed(price):
                if not desk.rests(book, trigger, order_id):
                    book.bury()
                    continue
                order = desk.orders[order_id]
                if not order.terms.is_priced:
                    held.append((book, trigger, order))
                elif order.status is _PENDING:
                    opens.append((order_id, order))
                else:
                    closes.append((order_id, book, trigger, order))
        for book, trigger, order in held:
            self._defer(order, book, trigger)
        closes.sort(key=_by_age)
        opens.sort(key=_by_age)
        decisions = []
        for _, book, trigger, order in closes:
            decision = self._close(order, book)
            if decision is not None:
                decisions.append(decision)
                book.bury()  # closing counted it dead, but it had left the book already
            elif order.status is _OPEN:
                self._defer(order, book, trigger)
        for _, order in opens:
            if order.status is _PENDING:
                order.trigger = None
                decisions.append(self._open(order))
        return decisions

    def _close(self, order: Order, book: TriggerBook) -> Decision | None:
        """Close a position whose trigger fired; None: it is not to be closed on this tick."""
        market = order.terms.market
        assert order.open_tick is not None
        if order.status is not _OPEN or order.open_tick >= market.tick:
            return None
        is_stop = book is market.stop_loss_book(is_long=order.order_type.is_buy)
        reason = CloseReason.STOP_LOSS if is_stop else CloseReason.TAKE_PROFIT
        return close_order(self.desk, order, reason, market.time)

    def _defer(self, order: Order, book: TriggerBook, trigger: int) -> None:
        """Rest a fired trigger again that cannot be dealt on this tick."""
        order.armed_tick = self.desk.tick
        book.add(trigger, order.order_id)
        self.deferred_triggers += 1

    def _open(self, order: Order) -> Decision:
        """Open an order whose trigger has left its book, or cancel it for margin or rate."""
        desk, time = self.desk, order.terms.market.time
        opening = price_opening(order)
        if isinstance(opening, CancelReason):
            return cancel_order(desk, order, opening, time)
        return open_order(desk, order, opening, time, expected=_PENDING)

    # The sweep, and the way in and out of memory

    def judge_order(self, order_id: int) -> Decision | None:
        """Judge one order against the last quote: the sweep's repair of a missed trigger.

        Returns:
            The decision, or None where the order is not live, nothing of it is crossed, or its
            symbol was not quoted since it was armed: then no tick has missed it.
        """
        order = self.desk.orders.get(order_id)
        if order is None or order.armed_tick >= order.terms.market.tick:
            return None
        return self._judge_order(order)

    def _judge_order(self, order: Order) -> Decision | None:
        market = order.terms.market
        if not order.terms.is_priced:
            return None
        for book, price in self.desk.triggers(order):
            quote = market.ask if book in (market.ask_at_most, market.ask_at_least) else market.bid
            if quote <= price if book.fires_at_most else quote >= price:
                if order.status is _PENDING:
                    self.desk.disarm(order)
                    return self._open(order)
                return self._close(order, book)
        return None

    def load(self, orders: Iterable[OrderState]) -> None:
        """Take stored live orders into memory and rest their triggers."""
        for state in orders:
            self.desk.arm(self.desk.restore(state))

    def reload(
        self, account: Account, orders: Iterable[OrderState], failed_order_id: int | None
    ) -> list[Decision]:
        """Replace an account and its orders by what is stored, after a decision failed.

        What the last quotes trigger is judged anew: closes first, oldest first. The order that
        failed waits for its symbol's next quote, lest it fail for ever at the same one.
        """
        desk = self.desk
        for order in [
            o for o in desk.orders.values() if o.account.account_id == account.account_id
        ]:
            desk.disarm(order)
            if order.status is _OPEN:
                desk.remove_position(order)
            del desk.orders[order.order_id]
        desk.accounts[account.account_id] = account
        states = sorted(orders, key=_closes_first)
        self.load(states)
        orders_anew = [desk.orders[s.order_id] for s in states if s.order_id != failed_order_id]
        judged = [self._judge_order(order) for order in orders_anew]
        return [decision for decision in judged if decision is not None]


def _by_age(fired: tuple[int, *tuple[object, ...]]) -> int:
    return fired[0]


def _closes_first(state: OrderState) -> tuple[bool, int]:
    return state.status is _PENDING, state.order_id
