"""Random traders: they do all that clients can do, as fast as they are let.

Orders are of all eight types, with and without stop loss, take profit, trailing stop and expiry;
positions are closed whole and in part; money comes and goes. The number of live orders settles
below `live_orders`. A command may be sent twice under its key: it must be answered the same.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Coroutine
from decimal import Decimal
from random import Random

from service.domain.commands import CommandDesk
from service.domain.decision import Decision
from service.domain.instructions import ModifyOrder, PlaceOrder
from service.domain.instrument import Symbol
from service.domain.market import Terms
from service.domain.order import Order, OrderKind, OrderStatus, OrderType
from service.domain.rejection import Rejected
from service.loops.answers import Unavailable, Withdrawn
from service.loops.trading import Trading
from tests.soak.market import NS_PER_S, Clock

MAX_WAITING = 200
MAX_FAULTS = 20
_TYPES = tuple(OrderType)
_NEAREST, _FURTHEST = 0.0003, 0.008
_LONGEST_EXPIRY_S = 1_800
_POOR, _RICH = Decimal(300), Decimal(80_000)
_KEYED, _REPEATED = 0.3, 0.1

Decide = Callable[[CommandDesk], Decision]


class Traders:
    """Sends commands of random accounts, each in a task of its own."""

    def __init__(self, random: Random, trading: Trading, clock: Clock, live_orders: int) -> None:
        self._random = random
        self._trading = trading
        self._clock = clock
        self._live_orders = live_orders
        self._waiting: set[asyncio.Task[None]] = set()
        self._known: list[int] = []
        self._account_ids: list[int] = []
        self._commands = 0
        self.outcomes: Counter[str] = Counter()
        self.faults: list[str] = []

    def look(self) -> None:
        """Find out what there is to change and to close, as of now."""
        self._known = list(self._trading.desk.orders)
        self._account_ids = list(self._trading.desk.accounts)

    def act(self) -> None:
        """Send one command, unless too many wait for their answers."""
        if len(self._waiting) >= MAX_WAITING:
            return
        random, desk = self._random, self._trading.desk
        if not self._known or random.random() < self._thirst():
            self._place()
            return
        order = desk.orders.get(random.choice(self._known))
        deed = random.random()
        if deed < 0.12:
            self._move_money()
        elif order is None:
            return
        elif deed < 0.5:
            self._modify(order)
        elif order.status is OrderStatus.OPEN:
            self._close(order)
        else:
            account_id, order_id = order.account.account_id, order.order_id
            self._send(account_id, lambda on: on.cancel(account_id, order_id, self._clock.now))

    async def at_rest(self) -> None:
        """Wait until every command sent was answered."""
        while self._waiting:
            await asyncio.wait(self._waiting)

    def _thirst(self) -> float:
        """Return how likely the next command is a new order: never above the limit."""
        room = 1 - len(self._trading.desk.orders) / self._live_orders
        return 0.9 * math.sqrt(max(0.0, room))

    # What they do

    def _place(self) -> None:
        random, desk = self._random, self._trading.desk
        account = desk.accounts[random.choice(self._account_ids)]
        terms = desk.terms[account.group.name, random.choice(list(desk.markets))]
        market = terms.market
        order_type = random.choice(_TYPES)
        kind = order_type.kind
        up = 1 if order_type.is_buy else -1
        here = terms.buy if order_type.is_buy else terms.sell
        price = limit_price = None
        opens_at = here
        if kind is not OrderKind.MARKET:
            away = self._distance(market.bid)
            price = opens_at = here - up * away if kind is OrderKind.LIMIT else here + up * away
        if kind is OrderKind.STOP_LIMIT:
            limit_price = opens_at = opens_at - up * self._distance(market.bid)
        command = PlaceOrder(
            account.account_id,
            market.symbol.name,
            order_type,
            self._volume(terms, account.balance * account.leverage),
            price,
            self._maybe(opens_at - up * self._distance(market.bid)),
            self._maybe(opens_at + up * self._distance(market.bid)),
            f"soak-{self._commands}" if random.random() < 0.3 else None,
            limit_price,
            self._distance(market.bid) if random.random() < 0.3 else None,
            self._maybe(self._expiry()) if kind is not OrderKind.MARKET else None,
        )
        self._send(account.account_id, lambda on: on.place(command, self._clock.now))

    def _modify(self, order: Order) -> None:
        random, terms = self._random, order.terms
        bid, up = terms.market.bid, 1 if order.order_type.is_buy else -1
        closing = terms.sell if order.order_type.is_buy else terms.buy
        middle = closing if order.price is None else order.price
        changes = {"trailing_distance", "stop_loss", "take_profit"}
        price = volume = limit_price = expires_at = None
        if order.status is OrderStatus.PENDING:
            changes |= {"volume", "expires_at"}
            price = order.price
            if order.activated_time is None and price is not None:
                changes.add("price")
                price += random.randint(-200, 200)
            if order.limit_price is not None and price is not None:
                changes.add("limit_price")
                limit_price = middle = price - up * self._distance(bid)
            volume = order.volume + random.choice((0, 100))
            expires_at = self._maybe(self._expiry())
        command = ModifyOrder(
            order.account.account_id,
            order.order_id,
            frozenset(random.sample(sorted(changes), random.randint(1, len(changes)))),
            price,
            volume,
            self._maybe(middle - up * self._distance(bid)),
            self._maybe(middle + up * self._distance(bid)),
            limit_price,
            self._maybe(self._distance(bid)),
            expires_at,
        )
        self._send(command.account_id, lambda on: on.modify(command, self._clock.now))

    def _close(self, order: Order) -> None:
        account_id, order_id = order.account.account_id, order.order_id
        volume = None
        if self._random.random() < 0.4 and order.volume > 200:
            volume = self._random.randint(1, order.volume // 100 - 1) * 100
        self._send(
            account_id, lambda on: on.close(account_id, order_id, self._clock.now, volume=volume)
        )

    def _move_money(self) -> None:
        random = self._random
        account = self._trading.desk.accounts[random.choice(self._account_ids)]
        if account.balance < _POOR:
            cents = random.randint(50_000, 500_000)
        elif account.balance > _RICH:
            cents = -random.randint(1_000_000, 7_000_000)
        else:
            cents = random.randint(-50_000, 20_000) or 1
        amount = Decimal(cents).scaleb(-2)
        account_id = account.account_id
        self._send(account_id, lambda on: on.fund(account_id, amount, self._clock.now))

    # How

    def _distance(self, price: int) -> int:
        return max(1, round(price * self._random.uniform(_NEAREST, _FURTHEST)))

    def _maybe(self, value: int) -> int | None:
        return value if self._random.random() < 0.6 else None

    def _expiry(self) -> int:
        return self._clock.now + self._random.randint(1, _LONGEST_EXPIRY_S) * NS_PER_S

    def _volume(self, terms: Terms, buying_power: Decimal) -> int:
        """Return a volume that needs up to half of what an account can buy, mostly far less."""
        market = terms.market
        symbol: Symbol = market.symbol
        factors = market.rate.factors()
        worth = market.bid * market.point_value * (1.0 if factors is None else factors[0])
        share = 0.5 * self._random.random() ** 3
        units = int(float(buying_power) * share / worth) if worth else 0
        steps = min(max(units, symbol.min_volume), symbol.max_volume) // symbol.volume_step
        return steps * symbol.volume_step

    def _send(self, account_id: int, decide: Decide) -> None:
        random = self._random
        self._commands += 1
        key = f"key-{self._commands}" if random.random() < _KEYED else None
        is_repeated = key is not None and random.random() < _REPEATED
        self._start(self._told(account_id, key, decide, is_repeated=is_repeated))

    def _start(self, sending: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(sending)
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _told(
        self, account_id: int, key: str | None, decide: Decide, *, is_repeated: bool
    ) -> None:
        """Send a command and count its answer; an exception that none may be is a fault."""
        try:
            answers = [
                await self._trading.command(account_id, key, lambda on, _: decide(on))
                for _ in range(1 + is_repeated)
            ]
        except Rejected as refused:
            self.outcomes[refused.code] += 1
        except (Unavailable, Withdrawn) as error:
            self.outcomes[type(error).__name__] += 1
        except Exception as error:
            self._fault(f"a command of account {account_id} failed: {error!r}")
        else:
            self.outcomes["done"] += 1
            if answers[0] != answers[-1]:
                self._fault(f"key {key} of account {account_id} was answered in two ways")

    def _fault(self, fault: str) -> None:
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(fault)
