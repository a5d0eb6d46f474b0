"""Commands of clients and administrators: validated, decided at once, refused with a reason.

Each takes the desk, the command, the clock `now` (ns UTC) and its idempotency key, and returns the
decision; a refusal raises `Rejected` and changes nothing. Market orders and closes use the
service's own price, which must not be older than the guard's `max_age_ns`.
"""

from decimal import Decimal

from service.domain.account import Account
from service.domain.checks import (
    check_expiry,
    check_limit_price,
    check_not_reached,
    check_price,
    check_protection,
    check_state,
    check_trailing_distance,
    check_volume,
)
from service.domain.corrections import CorrectDeal, correct_deal
from service.domain.dealing import (
    NewTerms,
    cancel_order,
    close_order,
    fund_account,
    modify_order,
    open_order,
    place_order,
    price_opening,
)
from service.domain.decision import Audit, Decision, PostingKind
from service.domain.desk import Desk
from service.domain.instructions import ModifyOrder, PlaceOrder
from service.domain.market import Terms
from service.domain.money import CENT, EQUAL_WITHIN, EXACT
from service.domain.order import CancelReason, CloseReason, Order, OrderKind, OrderStatus, OrderType
from service.domain.quote import QuoteGuard
from service.domain.rejection import RejectCode, Rejected

_PENDING_ONLY = {"price", "limit_price", "volume", "expires_at"}


class CommandDesk:
    """Decides commands on a desk."""

    def __init__(self, desk: Desk, guard: QuoteGuard) -> None:
        self.desk = desk
        self._guard = guard

    def place(self, command: PlaceOrder, now: int, key: str | None = None) -> Decision:
        """Place an order: a market order fills at once, a pending one rests."""
        account = self._account(command.account_id)
        terms = self.terms(account, command.symbol)
        symbol = terms.market.symbol
        order_type = command.order_type
        check_state(terms, opens=True)
        check_volume(symbol, command.volume)
        is_market = order_type.kind is OrderKind.MARKET
        if is_market and command.price is not None:
            raise Rejected(
                RejectCode.INVALID_PRICE, "a market order takes no price: leave it out", "price"
            )
        if is_market:
            self._require_session(terms, now)
            self._require_fresh(terms, now)
        else:
            self._check_price(terms, order_type, command.price)
        check_limit_price(order_type, command.price, command.limit_price)
        check_trailing_distance(command.trailing_distance)
        check_expiry(order_type, command.expires_at, now)
        if is_market:
            check_not_reached(terms, order_type, command.stop_loss, command.take_profit)
        opens_at = command.price if command.limit_price is None else command.limit_price
        check_protection(order_type, opens_at, command.stop_loss, command.take_profit)
        order = Order(
            self.desk.next_order_id,
            account,
            terms,
            order_type,
            command.volume,
            command.price,
            command.stop_loss,
            command.take_profit,
            command.client_order_id,
            now,
            command.limit_price,
            command.trailing_distance,
            command.expires_at,
        )
        if not is_market:
            self.desk.next_order_id += self.desk.id_step
            return place_order(self.desk, order, now, key=key)
        opening = price_opening(order)
        if opening is CancelReason.INSUFFICIENT_MARGIN:
            raise Rejected(
                RejectCode.INSUFFICIENT_MARGIN,
                "the order needs more margin than is free: lower the volume or deposit",
            )
        if isinstance(opening, CancelReason):
            raise Rejected(
                RejectCode.NO_RATE,
                f"no conversion rate for {symbol.profit_currency} yet: try again once it is quoted",
            )
        self.desk.next_order_id += self.desk.id_step
        return open_order(self.desk, order, opening, now, expected=None, key=key)

    def modify(self, command: ModifyOrder, now: int, key: str | None = None) -> Decision:
        """Change price and volume of a pending order, stop loss and take profit of a live one."""
        order = self._order(command.account_id, command.order_id)
        changes = command.changes
        is_pending = order.status is OrderStatus.PENDING
        if changes & _PENDING_ONLY and not is_pending:
            raise Rejected(
                RejectCode.ORDER_NOT_PENDING,
                "price, volume and expiry of an open order cannot change",
            )
        terms, order_type = order.terms, order.order_type
        new = NewTerms(
            *(getattr(command if name in changes else order, name) for name in NewTerms._fields)
        )
        if "volume" in changes:
            if command.volume is None:
                raise Rejected(RejectCode.INVALID_VOLUME, "volume cannot be removed", "volume")
            check_volume(terms.market.symbol, command.volume)
        if "price" in changes:
            if order.activated_time is not None:
                raise Rejected(
                    RejectCode.INVALID_PRICE,
                    "the stop price was reached: change limit_price, or cancel the order",
                    "price",
                )
            self._check_price(terms, order_type, new.price)
        if changes & {"price", "limit_price"}:
            check_limit_price(order_type, new.price, new.limit_price)
        if "trailing_distance" in changes:
            check_trailing_distance(new.trailing_distance)
        if "expires_at" in changes:
            check_expiry(order_type, new.expires_at, now)
        if is_pending:
            opens_at = new.price if new.limit_price is None else new.limit_price
            check_protection(order_type, opens_at, new.stop_loss, new.take_profit)
        else:
            self._require_quote(terms)
            check_not_reached(
                terms,
                order_type,
                new.stop_loss if "stop_loss" in changes else None,
                new.take_profit if "take_profit" in changes else None,
            )
            check_protection(order_type, None, new.stop_loss, new.take_profit)
        return modify_order(self.desk, order, new, now, key=key)

    def cancel(self, account_id: int, order_id: int, now: int, key: str | None = None) -> Decision:
        """Cancel a pending order."""
        order = self._order(account_id, order_id)
        if order.status is not OrderStatus.PENDING:
            raise Rejected(
                RejectCode.ORDER_NOT_PENDING, f"order {order_id} is open: close it instead"
            )
        self.desk.disarm(order)
        return cancel_order(self.desk, order, CancelReason.CLIENT, now, key=key)

    def close(
        self,
        account_id: int,
        order_id: int,
        now: int,
        key: str | None = None,
        volume: int | None = None,
    ) -> Decision:
        """Close an open order at the service's price: all of it, or a `volume` in 1/10,000 lot."""
        order = self._order(account_id, order_id)
        if order.status is not OrderStatus.OPEN:
            raise Rejected(
                RejectCode.ORDER_NOT_OPEN, f"order {order_id} is pending: cancel it instead"
            )
        check_state(order.terms, opens=False)
        if volume is not None:
            check_volume(order.terms.market.symbol, volume, of=order.volume)
        self._require_session(order.terms, now)
        self._require_fresh(order.terms, now)
        decision = close_order(self.desk, order, CloseReason.CLIENT, now, volume=volume, key=key)
        if decision is None:
            raise Rejected(
                RejectCode.NO_RATE,
                f"no conversion rate for {order.terms.market.symbol.profit_currency} yet: "
                "try again once it is quoted",
            )
        return decision

    def correct(self, command: CorrectDeal, now: int, key: str | None, audit: Audit) -> Decision:
        """Reverse a deal with its ledger entries, by an administrator."""
        self._account(command.order.account_id)
        return correct_deal(self.desk, command, now, key, audit)

    def fund(self, account_id: int, amount: Decimal, now: int, key: str | None = None) -> Decision:
        """Deposit (amount > 0) or withdraw (amount < 0) USD in whole cents."""
        account = self._account(account_id)
        if not amount.is_finite() or amount == 0 or abs(amount) >= 10**12 or amount % CENT != 0:
            raise Rejected(
                RejectCode.INVALID_AMOUNT, "amount must be whole cents and not zero", "amount"
            )
        if amount > 0:
            return fund_account(self.desk, account, PostingKind.DEPOSIT, amount, now, key)
        free_margin = account.free_margin()
        available = None if free_margin is None else min(free_margin, account.balance)
        if available is None or EXACT.add(available, amount) < -EQUAL_WITHIN:
            raise Rejected(
                RejectCode.INSUFFICIENT_FUNDS,
                "withdraw at most the free margin and the balance",
                "amount",
            )
        return fund_account(self.desk, account, PostingKind.WITHDRAWAL, amount, now, key)

    def terms(self, account: Account, symbol: str) -> Terms:
        """Return the terms of the account's group on a symbol, or reject."""
        terms = self.desk.terms.get((account.group.name, symbol))
        if terms is None:
            raise Rejected(
                RejectCode.UNKNOWN_SYMBOL, f"{symbol} is not traded in your group", "symbol"
            )
        return terms

    def _account(self, account_id: int) -> Account:
        account = self.desk.accounts.get(account_id)
        if account is None:
            raise Rejected(RejectCode.UNKNOWN_ACCOUNT, f"there is no account {account_id}")
        self._require_whole(account_id)
        return account

    def _order(self, account_id: int, order_id: int) -> Order:
        order = self.desk.orders.get(order_id)
        if order is None or order.account.account_id != account_id:
            raise Rejected(RejectCode.ORDER_NOT_FOUND, f"no live order {order_id} in this account")
        self._require_whole(account_id)
        return order

    def _require_whole(self, account_id: int) -> None:
        if account_id in self.desk.faults:
            raise Rejected(
                RejectCode.ACCOUNT_FAULTED,
                f"account {account_id} is being loaded anew after a fault: try again",
            )

    def _require_quote(self, terms: Terms) -> None:
        if not terms.is_priced:
            raise Rejected(
                RejectCode.NO_QUOTE, f"{terms.market.symbol.name} has no price yet: try again later"
            )

    def _require_fresh(self, terms: Terms, now: int) -> None:
        self._require_quote(terms)
        if now - terms.market.time > self._guard.max_age_ns:
            raise Rejected(
                RejectCode.NO_QUOTE,
                f"the last price of {terms.market.symbol.name} is too old to deal at: "
                "try again when it is quoted",
            )

    def _check_price(self, terms: Terms, order_type: OrderType, price: int | None) -> None:
        if price is None or price <= 0:
            raise Rejected(
                RejectCode.INVALID_PRICE, "a pending order needs a price above zero", "price"
            )
        self._require_quote(terms)
        check_price(terms, order_type, price)

    def _require_session(self, terms: Terms, now: int) -> None:
        if not terms.market.is_in_session(now):
            raise Rejected(
                RejectCode.MARKET_CLOSED,
                f"{terms.market.symbol.name} is not traded now: its sessions are "
                f"{terms.market.symbol.sessions}",
            )
