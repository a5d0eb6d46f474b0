"""The oracle's commands: what a client may ask for, and with which code it is refused."""

from dataclasses import replace
from fractions import Fraction

from service.domain.order import OrderType
from service.domain.rejection import RejectCode
from tests.property.fact import Fact
from tests.property.oracle import MARKET, MAX_AGE, Oracle
from tests.property.valuation import PlainAccount, PlainOrder

Levels = tuple[Fraction | None, Fraction | None, Fraction | None]
"""Price, stop loss, take profit."""


class Refused(Exception):
    def __init__(self, code: RejectCode) -> None:
        super().__init__(code)
        self.code = code


class CommandOracle(Oracle):
    """Decides commands over plain lists; a refusal raises `Refused` and changes nothing."""

    def place(
        self,
        order_id: int,
        account_id: int,
        symbol: str,
        order_type: OrderType,
        volume: int,
        levels: Levels,
        now: int,
    ) -> Fact:
        account = self.account(account_id)
        if (account.group, symbol) not in self.terms:
            raise Refused(RejectCode.UNKNOWN_SYMBOL)
        order = PlainOrder(order_id, account, symbol, order_type, volume, *levels)
        self.check_volume(order)
        if order_type not in MARKET:
            self.check_price(order)
            self.check_levels(order)
            self.orders.append(order)
            return self.fact("PLACED", order, "PENDING", None, now)
        if order.price is not None:
            raise Refused(RejectCode.INVALID_PRICE)
        self.check_fresh(symbol, now)
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
        if order.open_price is not None and changes & {"price", "volume"}:
            raise Refused(RejectCode.ORDER_NOT_PENDING)
        changed = replace(order)
        for field in changes:
            setattr(changed, field, getattr(new, field))
        if "volume" in changes:
            self.check_volume(changed)
        if "price" in changes:
            self.check_price(changed)
        if order.open_price is not None:
            self.check_quoted(order.symbol)
            self.check_not_reached(
                order,
                changed.stop_loss if "stop_loss" in changes else None,
                changed.take_profit if "take_profit" in changes else None,
            )
            self.check_levels(replace(changed, price=None))
        else:
            self.check_levels(changed)
        for field in changes:
            setattr(order, field, getattr(changed, field))
        status = "PENDING" if order.open_price is None else "OPEN"
        return self.fact("MODIFIED", order, status, status, now)

    def cancel_by_client(self, account_id: int, order_id: int, now: int) -> Fact:
        order = self.order(account_id, order_id)
        if order.open_price is not None:
            raise Refused(RejectCode.ORDER_NOT_PENDING)
        return self.cancel(order, "CLIENT", now)

    def close_by_client(self, account_id: int, order_id: int, now: int) -> Fact:
        order = self.order(account_id, order_id)
        if order.open_price is None:
            raise Refused(RejectCode.ORDER_NOT_OPEN)
        self.check_fresh(order.symbol, now)
        fact = self.close(order, "CLIENT", now)
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
        account.sequence += 1
        return Fact(
            "DEPOSITED" if amount > 0 else "WITHDRAWN",
            now,
            self.ticks,
            account.account_id,
            account.sequence,
            account.balance,
            None,
            None,
            None,
            None,
            None,
            None,
            postings,
            margin=self.hedged_margin(self.positions(account)),
            order_margin=None,
        )

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

    def check_quoted(self, symbol: str) -> None:
        if symbol not in self.quotes:
            raise Refused(RejectCode.NO_QUOTE)

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
        below = order.order_type in (OrderType.BUY_LIMIT, OrderType.SELL_STOP)
        if beyond >= 0 if below else beyond <= 0:
            raise Refused(RejectCode.WRONG_SIDE_OF_MARKET)

    def check_levels(self, order: PlainOrder) -> None:
        """Stop loss < price < take profit for a long order, the other way round for a short."""
        sign = 1 if order.is_long else -1
        stop, take, price = order.stop_loss, order.take_profit, order.price
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
        sign, price = 1 if order.is_long else -1, self.closing_price(order)
        if stop is not None and sign * (price - stop) <= 0:
            raise Refused(RejectCode.INVALID_STOP_LOSS)
        if take is not None and sign * (take - price) <= 0:
            raise Refused(RejectCode.INVALID_TAKE_PROFIT)
