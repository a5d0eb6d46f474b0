"""The dealing desk: the whole state of the accounts one engine owns, and what can happen to it.

What happens to orders and money goes through `service.domain.dealing`, which changes this memory at
once and returns the `Decision` that stores it. Invariants:

- a live order (PENDING or OPEN) is in `orders` and its triggers rest in its market's books;
- an OPEN order is among its account's positions, with its margin;
- an account's sequence grows by one with each of its decisions, `decision_id` by `id_step` with
  each, and so do the ids of orders;
- an account with positions has price bands in the books of the markets it depends on.

Trigger prices rest normalised by the group's markup, so one book serves all groups of a symbol:
ask books hold `p - ceil(m/2)`, bid books `p + floor(m/2)`, widened by the symbol's tolerance.
"""

from collections.abc import Iterable
from typing import NamedTuple

from service.domain.account import Account
from service.domain.book import WATCH_BIT, TriggerBook, TriggerCounts
from service.domain.expiry import ExpiryQueue
from service.domain.instrument import Group, GroupSymbol, SettingsError, Symbol
from service.domain.market import Market, Terms, find_rate
from service.domain.order import Order, OrderKind, OrderState, OrderStatus, restored
from service.domain.shard import ALL_ACCOUNTS, AccountShard
from service.domain.watch import Watch, forget_account, watch_account

# Reading a member off its enum costs as much as a call in Python 3.11.
_PENDING, _OPEN = OrderStatus.PENDING, OrderStatus.OPEN
_MARKET, _LIMIT = OrderKind.MARKET, OrderKind.LIMIT


class Fault(NamedTuple):
    """What was raised when an order, or where None its account, was judged."""

    order_id: int | None
    error: Exception


class Desk:
    """State of one engine. Not thread-safe: one caller at a time, which is the point.

    Attributes:
        shard: whose accounts these are; `id_step` is the distance between two ids it gives.
        symbols: those of `markets`, by name; for reading.
        faults: accounts whose rules raised, by id: they may be half changed. They are left alone,
            and nobody else is, until `Engine.reload` has taken them anew from what is stored.
        changed: accounts that something happened to since their bands were set.
        unpriced: how many positions of an account have no price or no conversion rate, by its id,
            as of when its bands were last set; `unpriced_positions` is their sum.
        owing: positions that owe the swap of rollovers up to `owed_until` (ns UTC), by order id;
            all rollovers up to `rolled_until` are settled.
        trigger_counts: what became of the entries that quotes crossed.
        settings_version: of which version its symbols, groups and terms are; each change is one.
    """

    def __init__(self, shard: AccountShard = ALL_ACCOUNTS) -> None:
        self.shard = shard
        self.id_step = shard.of
        self.markets: dict[str, Market] = {}
        self.symbols: dict[str, Symbol] = {}
        self.groups: dict[str, Group] = {}
        self.terms: dict[tuple[str, str], Terms] = {}
        self.accounts: dict[int, Account] = {}
        self.orders: dict[int, Order] = {}
        self.faults: dict[int, Fault] = {}
        self.watches: dict[int, Watch] = {}
        self.changed: dict[int, Account] = {}
        self.unpriced: dict[int, int] = {}
        self.unpriced_positions = 0
        self.owing: dict[int, Order] = {}
        self.owed_until = 0
        self.rolled_until = 0
        self.open_positions = 0
        self.trigger_counts = TriggerCounts()
        # The first id above zero.
        self.next_order_id = self.next_decision_id = shard.number or shard.of
        self.next_watch_id = 1
        self.expiries = ExpiryQueue(self.orders)
        self.tick = 0
        self.settings_version = 0

    # Settings

    def set_symbol(self, symbol: Symbol) -> None:
        """Add a symbol, or take over its changed settings and re-key what rests on it.

        Raises:
            SettingsError: the digits of a known symbol would change; its prices are in points.
        """
        market = self.markets.get(symbol.name)
        if market is None:
            self.markets[symbol.name] = Market(symbol)
        else:
            self._change_symbol(market, symbol)
        self.symbols[symbol.name] = symbol
        for each in self.markets.values():
            rate = find_rate(each.symbol.profit_currency, self.markets)
            if rate != each.rate:
                each.rate = rate
                self._watch_exposed(each)

    def _change_symbol(self, market: Market, symbol: Symbol) -> None:
        before = market.symbol
        if before.digits != symbol.digits:
            raise SettingsError(f"digits of {symbol.name} cannot change once it is traded")
        market.change_symbol(symbol)
        for terms in self.terms.values():
            if terms.market is market:
                terms.change_group(terms.group)
        market.reopen(self.tick)
        if symbol.trigger_tolerance_points != before.trigger_tolerance_points:
            self._rekey(order for order in self.orders.values() if order.terms.market is market)
        if symbol.contract_size != before.contract_size:
            self._watch_exposed(market)

    def _watch_exposed(self, market: Market) -> None:
        for account in self.accounts.values():
            if market.symbol.name in account.exposures:
                watch_account(self, account)

    def set_group(self, group: Group) -> None:
        """Add a group or take over its changed settings."""
        self.groups[group.name] = group
        for terms in self.terms.values():
            if terms.group.name == group.name:
                terms.change_group(group)
        for account in self.accounts.values():
            if account.group.name == group.name:
                account.group = group
                watch_account(self, account)
        for market in self.markets.values():
            market.reopen(self.tick)

    def set_terms(self, settings: GroupSymbol) -> None:
        """Add a group's terms on a symbol, or change them and re-key that group's orders.

        Raises:
            SettingsError: unknown group or symbol, or a markup that is not whole points.
        """
        group = self.groups.get(settings.group)
        market = self.markets.get(settings.symbol)
        if group is None or market is None:
            missing = "group" if group is None else "symbol"
            raise SettingsError(
                f"unknown {missing} in the terms of {settings.group} on {settings.symbol}: "
                f"add the {missing} first"
            )
        key = (settings.group, settings.symbol)
        terms = self.terms.get(key)
        if terms is None:
            self.terms[key] = Terms(settings, group, market)
        else:
            terms.change(settings)
            self._rekey(order for order in self.orders.values() if order.terms is terms)
            for account in self.accounts.values():
                if settings.symbol in account.exposures and account.group is group:
                    watch_account(self, account)

    def _rekey(self, orders: Iterable[Order]) -> None:
        for order in orders:
            self.disarm(order)
            self.arm(order)

    # Triggers

    def arm(self, order: Order) -> None:
        """Rest the triggers of a live order in its market's books."""
        order.armed_tick = self.tick
        self.set_triggers(order)
        for book, price in self.triggers(order):
            book.add(price, order.order_id)

    def set_triggers(self, order: Order) -> None:
        """Compute the normalised trigger prices of a live order."""
        terms = order.terms
        tolerance = terms.market.symbol.trigger_tolerance_points
        is_long = order.order_type.is_buy
        order.trigger = order.stop_loss_trigger = order.take_profit_trigger = None
        if order.status is _PENDING:
            kind, price = order.order_type.kind, order.price
            if order.activated_time is not None:
                kind, price = _LIMIT, order.limit_price
            if kind is _MARKET:
                order.trigger = 0
            else:
                assert price is not None
                fires_above = is_long == (kind is not _LIMIT)
                shift = -terms.buy_markup if is_long else terms.sell_markup
                order.trigger = price + shift + (-tolerance if fires_above else tolerance)
            return
        shift = terms.sell_markup if is_long else -terms.buy_markup
        outward = tolerance if is_long else -tolerance
        if order.stop_loss is not None:
            order.stop_loss_trigger = order.stop_loss + shift + outward
        if order.take_profit is not None:
            order.take_profit_trigger = order.take_profit + shift - outward
        order.trail_trigger = None
        if order.trailing_distance is not None:
            # The first closing price that leaves the stop loss further behind than its distance.
            beyond = order.trailing_distance + 1
            reached = order.stop_loss or 0
            order.trail_trigger = reached + shift + (beyond if is_long else -beyond)

    def triggers(self, order: Order) -> list[tuple[TriggerBook, int]]:
        """Return the books and normalised prices a live order rests at."""
        market = order.terms.market
        if order.status is _PENDING:
            return [] if order.trigger is None else [(market.order_book(order), order.trigger)]
        is_long = order.order_type.is_buy
        resting = []
        if order.stop_loss_trigger is not None:
            resting.append((market.stop_loss_book(is_long=is_long), order.stop_loss_trigger))
        if order.take_profit_trigger is not None:
            resting.append((market.take_profit_book(is_long=is_long), order.take_profit_trigger))
        if order.trail_trigger is not None:
            resting.append((market.take_profit_book(is_long=is_long), order.trail_trigger))
        return resting

    def disarm(self, order: Order) -> None:
        """Withdraw the triggers of a live order; call it before its state changes."""
        resting = self.triggers(order)
        order.trigger = order.stop_loss_trigger = order.take_profit_trigger = None
        order.trail_trigger = None
        for book, _ in resting:
            book.discard(self.rests)

    def rests(self, book: TriggerBook, price: int, entry_id: int) -> bool:
        """Tell whether a book entry still stands for a live order's trigger or a price band."""
        if entry_id & WATCH_BIT:
            watch = self.watches.get(entry_id ^ WATCH_BIT)
            return watch is not None and watch.bounds.get(book) == price
        order = self.orders.get(entry_id)
        if order is None:
            return False
        if order.status is _PENDING:
            return price == order.trigger and book is order.terms.market.order_book(order)
        is_long = order.order_type.is_buy
        market = order.terms.market
        if price == order.stop_loss_trigger and book is market.stop_loss_book(is_long=is_long):
            return True
        return price in (
            order.take_profit_trigger,
            order.trail_trigger,
        ) and book is market.take_profit_book(is_long=is_long)

    def restore(self, state: OrderState) -> Order:
        """Take a stored live order into memory; the caller arms it.

        Raises:
            KeyError: its account, or its group's terms on its symbol, are not loaded.
        """
        account = self.accounts[state.account_id]
        order = restored(state, account, self.terms[account.group.name, state.symbol])
        self.orders[order.order_id] = order
        if order.status is _OPEN:
            self.add_position(order)
        elif order.status is _PENDING and order.expires_at is not None:
            self.expiries.add(order)
        return order

    def add_position(self, order: Order) -> None:
        """Count an open order among its account's positions."""
        order.account.add_position(order)
        self.open_positions += 1

    def remove_position(self, order: Order) -> None:
        """Take an order that ends out of its account's positions."""
        order.account.remove_position(order)
        self.open_positions -= 1

    def fault(self, account: Account, order_id: int | None, error: Exception) -> None:
        """Leave an account alone whose rules raised, as it may be half changed."""
        self.faults.setdefault(account.account_id, Fault(order_id, error))

    def take_out(self, account_id: int) -> None:
        """Forget an account, its orders and its bands, in whatever state they are."""
        for order in [o for o in self.orders.values() if o.account.account_id == account_id]:
            self.disarm(order)
            self.owing.pop(order.order_id, None)
            del self.orders[order.order_id]
        account = self.accounts.pop(account_id, None)
        if account is not None:
            held = account.exposures.values()
            self.open_positions -= sum(len(exposure.positions) for exposure in held)
            forget_account(self, account)
        self.changed.pop(account_id, None)
        self.faults.pop(account_id, None)
