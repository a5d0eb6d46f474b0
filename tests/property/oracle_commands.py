"""The oracle's commands: what a client may ask for, and with which code it is refused."""

from dataclasses import replace
from fractions import Fraction

from service.domain.instrument import TradingState
from service.domain.order import OrderType
from service.domain.rejection import RejectCode
from tests.property.fact import Fact
from tests.property.oracle import MAX_AGE, Oracle
from tests.property.oracle_dealing import MARKET
from tests.property.valuation import STOP_LIMITS, PlainAccount, PlainOrder

PENDING_ONLY = {"price", "volume", "limit_price", "expires_at"}


class Refused(Exception):
    def __init__(self, code: RejectCode) -> None:
        super().__init__(code)
        self.code = code


class CommandOracle(Oracle):
    """Decides commands over plain lists; a refusal raises `Refused` and changes nothing."""

    def place(self, order: PlainOrder, now: int) -> Fact:
        """Place an order as a client asks for it; its account may be unknown."""
        account, symbol = self.account(order.account.account_id), order.symbol
        if (account.group, symbol) not in self.terms:
            raise Refused(RejectCode.UNKNOWN_SYMBOL)
        state = self.state(account.group, symbol)
        if state is not TradingState.ACTIVE:
            halted = state is TradingState.HALTED
            raise Refused(RejectCode.TRADING_HALTED if halted else RejectCode.CLOSE_ONLY)
        self.check_volume(order)
        is_market = order.order_type in MARKET
        if is_market and order.price is not None:
            raise Refused(RejectCode.INVALID_PRICE)
        if is_market:
            self.check_traded(symbol, now)
            self.check_fresh(symbol, now)
        else:
            self.check_price(order)
        self.check_limit_price(order)
        self.check_trailing(order)
        self.check_expiry(order, now)
        if not is_market:
            self.check_levels(order)
            self.orders.append(order)
            return self.told("PLACED", order, "PENDING", None, now)
        self.check_not_reached(order, order.stop_loss, order.take_profit)
        self.check_levels(order)
        refusal = self.quote_opening(order)
        if isinstance(refusal, str):
            raise Refused(RejectCode(refusal))
        self.orders.append(order)
        return self.open(order, expected=None, time=now)

    def modify(
        self, account_id: int, order_id: int, changes: frozenset[str], new: PlainOrder, now: int
    ) -> Fact:
        """Give an order the fields of `new` that `changes` names."""
        order = self.order(account_id, order_id)
        if order.is_open and changes & PENDING_ONLY:
            raise Refused(RejectCode.ORDER_NOT_PENDING)
        changed = replace(order)
        for field in changes:
            setattr(changed, field, getattr(new, field))
        if "volume" in changes:
            self.check_volume(changed)
        if "price" in changes:
            if order.activated_time is not None:
                raise Refused(RejectCode.INVALID_PRICE)
            self.check_price(changed)
        if changes & {"price", "limit_price"}:
            self.check_limit_price(changed)
        if "trailing" in changes:
            self.check_trailing(changed)
        if "expires_at" in changes:
            self.check_expiry(changed, now)
        if order.is_open:
            self.check_quoted(order.symbol)
            self.check_not_reached(
                order,
                changed.stop_loss if "stop_loss" in changes else None,
                changed.take_profit if "take_profit" in changes else None,
            )
            self.check_levels(replace(changed, price=None, limit_price=None))
        else:
            self.check_levels(changed)
        for field in changes:
            setattr(order, field, getattr(changed, field))
        if order.is_open and self.may_close(order):
            self.pull_stop(order)
        status = "OPEN" if order.is_open else "PENDING"
        return self.told("MODIFIED", order, status, status, now)

    def cancel_by_client(self, account_id: int, order_id: int, now: int) -> Fact:
        order = self.order(account_id, order_id)
        if order.is_open:
            raise Refused(RejectCode.ORDER_NOT_PENDING)
        return self.cancel(order, "CLIENT", now)

    def close_by_client(
        self, account_id: int, order_id: int, now: int, volume: int | None = None
    ) -> Fact:
        order = self.order(account_id, order_id)
        if not order.is_open:
            raise Refused(RejectCode.ORDER_NOT_OPEN)
        if not self.may_close(order):
            raise Refused(RejectCode.TRADING_HALTED)
        if volume is not None:
            self.check_part(order, volume)
        self.check_traded(order.symbol, now)
        self.check_fresh(order.symbol, now)
        fact = self.close(order, "CLIENT", now, volume)
        if fact is None:
            raise Refused(RejectCode.NO_RATE)
        return fact

    def fund(self, account_id: int, amount: Fraction, now: int) -> Fact:
        account = self.account(account_id)
        if amount == 0 or (amount * 100).denominator != 1:
            raise Refused(RejectCode.INVALID_AMOUNT)
        if amount < 0:
            free = self.free_margin(account)
            if free is None or min(free, account.balance) < -amount:
                raise Refused(RejectCode.INSUFFICIENT_FUNDS)
        kind = "DEPOSIT" if amount > 0 else "WITHDRAWAL"
        postings = self.post(account, **{kind: amount})
        event = "DEPOSITED" if amount > 0 else "WITHDRAWN"
        return self.told_of_account(event, account, now, postings)

    # What is refused

    def account(self, account_id: int) -> PlainAccount:
        if account_id not in self.accounts:
            raise Refused(RejectCode.UNKNOWN_ACCOUNT)
        return self.accounts[account_id]

    def order(self, account_id: int, order_id: int) -> PlainOrder:
        for order in self.orders:
            if order.order_id == order_id and order.account.account_id == account_id:
                return order
        raise Refused(RejectCode.ORDER_NOT_FOUND)

    def check_volume(self, order: PlainOrder) -> None:
        symbol = self.symbols[order.symbol]
        within = symbol.min_volume <= order.volume <= symbol.max_volume
        if not within or order.volume % symbol.volume_step:
            raise Refused(RejectCode.INVALID_VOLUME)

    def check_part(self, order: PlainOrder, volume: int) -> None:
        """Refuse to close more than there is, or what leaves or takes less than a lot may be."""
        symbol, rest = self.symbols[order.symbol], order.volume - volume
        if volume == order.volume:
            return
        if volume < symbol.min_volume or volume % symbol.volume_step or rest < symbol.min_volume:
            raise Refused(RejectCode.INVALID_VOLUME)

    def check_quoted(self, symbol: str) -> None:
        if symbol not in self.quotes:
            raise Refused(RejectCode.NO_QUOTE)

    def check_traded(self, symbol: str, now: int) -> None:
        if not self.in_session(symbol, now):
            raise Refused(RejectCode.MARKET_CLOSED)

    def check_fresh(self, symbol: str, now: int) -> None:
        self.check_quoted(symbol)
        if now - self.quotes[symbol].time > MAX_AGE:
            raise Refused(RejectCode.NO_QUOTE)

    def check_price(self, order: PlainOrder) -> None:
        if order.price is None or order.price <= 0:
            raise Refused(RejectCode.INVALID_PRICE)
        self.check_quoted(order.symbol)
        if order.order_type in MARKET:
            raise Refused(RejectCode.INVALID_PRICE)
        beyond = order.price - self.opening_price(order)
        below = order.order_type in (
            OrderType.BUY_LIMIT,
            OrderType.SELL_STOP,
            OrderType.SELL_STOP_LIMIT,
        )
        if beyond >= 0 if below else beyond <= 0:
            raise Refused(RejectCode.WRONG_SIDE_OF_MARKET)

    def check_limit_price(self, order: PlainOrder) -> None:
        """A stop-limit waits below (buying) or above (selling) the price that activates it."""
        is_wanted, limit = order.order_type in STOP_LIMITS, order.limit_price
        if not is_wanted and limit is None:
            return
        if not is_wanted or limit is None or limit <= 0:
            raise Refused(RejectCode.INVALID_LIMIT_PRICE)
        if order.price is not None and order.sign * (order.price - limit) <= 0:
            raise Refused(RejectCode.INVALID_LIMIT_PRICE)

    def check_trailing(self, order: PlainOrder) -> None:
        if order.trailing is not None and order.trailing <= 0:
            raise Refused(RejectCode.INVALID_TRAILING_DISTANCE)

    def check_expiry(self, order: PlainOrder, now: int) -> None:
        if order.expires_at is not None and (order.order_type in MARKET or order.expires_at <= now):
            raise Refused(RejectCode.INVALID_EXPIRY)

    def check_levels(self, order: PlainOrder) -> None:
        """Stop loss < price < take profit for a long order, the other way round for a short."""
        sign, stop, take, price = order.sign, order.stop_loss, order.take_profit, order.asked
        if stop is not None and stop <= 0:
            raise Refused(RejectCode.INVALID_STOP_LOSS)
        if take is not None and take <= 0:
            raise Refused(RejectCode.INVALID_TAKE_PROFIT)
        if stop is not None and price is not None and sign * (price - stop) <= 0:
            raise Refused(RejectCode.INVALID_STOP_LOSS)
        if take is not None and price is not None and sign * (take - price) <= 0:
            raise Refused(RejectCode.INVALID_TAKE_PROFIT)
        if stop is not None and take is not None and sign * (take - stop) <= 0:
            raise Refused(RejectCode.INVALID_STOP_LOSS)

    def check_not_reached(
        self, order: PlainOrder, stop: Fraction | None, take: Fraction | None
    ) -> None:
        sign, price = order.sign, self.closing_price(order)
        if stop is not None and sign * (price - stop) <= 0:
            raise Refused(RejectCode.INVALID_STOP_LOSS)
        if take is not None and sign * (take - price) <= 0:
            raise Refused(RejectCode.INVALID_TAKE_PROFIT)
