"""The traders: commands over REST, since the stream takes none, of accounts that listen to it.

Of ten commands four place an order (three that rest for a dip, one at the market), two move a take
profit, one cancels, and three close a position; what there is nothing for places instead. Every
command has an idempotency key of its own. The dip comes when as many orders rest on its symbol as
were drawn for it, 1 to `burst`; then they rest on the next symbol.

A command is sent when it is due, whatever the others wait for; only beyond `MAX_WAITING` of them it
is held back, and counted. Its latency is from when it was due.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from random import Random
from typing import NamedTuple

import aiohttp
import msgspec

from service.api.orders import ORDER, ORDERS
from service.domain.decision import EventKind
from service.domain.money import format_scaled
from service.domain.order import CancelReason, OrderStatus, OrderType
from service.load.listeners import HeardEvent
from service.load.market import GroupDips, Market, QuotedSymbol
from service.load.orders import LoadOrder, LoadOrders, Stage
from service.load.schedule import Clock, Schedule
from service.load.tally import Tallies

MAX_WAITING = 512
MAX_OPEN_BURSTS = 10
RETIRE_AT_ONCE = 32
RETIRE_PAUSE_S = 0.5
STEP_S = 0.001
OK = "OK"
CLOSE = f"{ORDER}/close"
_FAR = 20  # a take profit is a twentieth of the price away, which no quote of the load reaches
_TAKE_PROFITS = 50
_BY_CLIENT = frozenset({EventKind.PLACED, EventKind.MODIFIED})


class Command(NamedTuple):
    """A request to the API, on an order, with its idempotency key."""

    order: LoadOrder
    key: str
    method: str
    path: str
    body: Mapping[str, str]


class _Placed(msgspec.Struct, frozen=True):
    order_id: int
    status: OrderStatus


class _Problem(msgspec.Struct, frozen=True):
    code: str


class Traders:
    """Trades for some accounts, whose groups are known by then."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        token: Callable[[int], str],
        market: Market,
        clock: Clock,
        tallies: Tallies,
        random: Random,
        *,
        burst: int,
        run: str,
    ) -> None:
        """Set up: `session` has the API's address as its base, `run` begins all ids."""
        self._session = session
        self._token = token
        self._market = market
        self._clock = clock
        self._tallies = tallies
        self._random = random
        self._burst = burst
        self._run = run
        self._placed = 0
        self._accounts: Sequence[tuple[int, GroupDips]] = ()
        self._targets: Sequence[QuotedSymbol] = ()
        self._target, self._due, self._resting = 0, 1, 0
        self._waiting: set[asyncio.Task[None]] = set()
        self.orders = LoadOrders(random)

    def seat(self, accounts: Sequence[tuple[int, GroupDips]]) -> bool:
        """Trade for these accounts, in what all their groups trade; tell whether that is any."""
        self._accounts = accounts
        common = frozenset.intersection(*(dips.symbols for _, dips in accounts))
        self._targets = [each for each in self._market.symbols.values() if each.name in common]
        return bool(self._targets)

    async def trade(self, per_s: float) -> None:
        """Send so many commands a second until cancelled."""
        schedule = Schedule(per_s, self._clock.now())
        while True:
            await asyncio.sleep(STEP_S)
            skipped = schedule.skipped
            for due in schedule.due(self._clock.now()):
                self._begin(due)
            self._tallies.now.commands_late += schedule.skipped - skipped

    async def retire(self) -> None:
        """End all orders that live; the caller bounds for how long that is tried.

        What is refused is tried again: it may have fired meanwhile, the account may have been
        too quick, or its symbol without a quote.
        """
        if self._waiting:
            await asyncio.wait(self._waiting)
        gate = asyncio.Semaphore(RETIRE_AT_ONCE)

        async def end(order: LoadOrder) -> None:
            async with gate:
                if order.stage is Stage.SENT:  # nobody knows: the same key gives the answer
                    await self._call(_placing(order))
                elif await self._call(self._end(order, self._clock.now())) == OK:
                    self.orders.forget(order)

        while True:
            await asyncio.gather(*map(end, self.orders))
            if not len(self.orders):
                return
            await asyncio.sleep(RETIRE_PAUSE_S)

    def heard(self, event: HeardEvent, now: int) -> None:
        """Take an event of an account's stream; another of its sockets may tell it again."""
        order = self.orders.find(event.order.client_order_id or "")
        if order is None:
            return
        by_client = event.kind in _BY_CLIENT or event.order.reason == CancelReason.CLIENT
        if by_client or (event.kind is EventKind.OPENED and not order.rests_for_dip):
            self._tallies.now.events.record(now - order.commanded)
        elif event.deal is not None:
            dip = self._market.dip_time(event.deal.time)
            if dip is not None:
                self._tallies.now.fills.record(now - dip)
        if event.sequence <= order.sequence:
            return
        if event.kind is EventKind.OPENED and order.rests_for_dip:
            self._tallies.now.fired += 1
        elif event.kind is EventKind.PLACED:
            self._count_resting(order)
        self.orders.move_on(order, event.kind, event.order.order_id, event.sequence)

    def _count_resting(self, order: LoadOrder) -> None:
        if order.symbol is not self._targets[self._target]:
            return  # it came too late for its dip, and waits for the symbol's next
        self._resting += 1
        if self._resting >= self._due:
            self._tallies.now.dips += 1
            self._market.dip(order.symbol)
            self._target = (self._target + 1) % len(self._targets)
            self._due, self._resting = self._random.randint(1, self._burst), 0

    def _begin(self, due: int) -> None:
        tally = self._tallies.now
        if len(self._waiting) >= MAX_WAITING:
            tally.commands_held_back += 1
            return
        command = self._choose(due)
        tally.commands += 1
        tally.command_lag.record(self._clock.now() - due)
        task = asyncio.create_task(self._send(command, due))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _send(self, command: Command, due: int) -> None:
        answer = await self._call(command)
        tally = self._tallies.now
        tally.answers[answer] += 1
        tally.answered.record(self._clock.now() - due)

    async def _call(self, command: Command) -> str:
        """Send a command and return `OK`, the code of its refusal, or why it has no answer."""
        order, is_refused = command.order, False
        headers = {
            "Authorization": f"Bearer {self._token(order.account_id)}",
            "Idempotency-Key": command.key,
        }
        request = self._session.request(
            command.method, command.path, json=command.body or None, headers=headers
        )
        try:
            async with request as response:
                content = await response.read()
                if response.ok:
                    self._answered(order, msgspec.json.decode(content, type=_Placed))
                    answer = OK
                else:
                    is_refused = response.status < HTTPStatus.INTERNAL_SERVER_ERROR
                    answer = msgspec.json.decode(content, type=_Problem).code
        except TimeoutError:
            answer = "no answer in time"
        except aiohttp.ClientError as error:
            answer = type(error).__name__
        except msgspec.MsgspecError:
            answer = f"HTTP {response.status}"
        order.is_busy = False
        if order.stage is Stage.SENT and is_refused:
            self.orders.forget(order)
        return answer

    def _answered(self, order: LoadOrder, placed: _Placed) -> None:
        """Take an answer, which may come before the stream has told of it, or after."""
        if order.stage is Stage.SENT:
            order.order_id = placed.order_id
            order.stage = Stage.OPEN if placed.status is OrderStatus.OPEN else Stage.RESTING

    # What they do

    def _choose(self, due: int) -> Command:
        """Choose a command and mark its order."""
        place = self._random.random()
        order = None
        if self.orders.count(Stage.OPEN) > MAX_OPEN_BURSTS * self._burst or place >= 0.7:
            order = self.orders.pick(Stage.OPEN)
        elif place >= 0.6:
            order = self.orders.pick(Stage.RESTING)
        elif place >= 0.4:
            order = self.orders.pick(Stage.RESTING, Stage.OPEN)
            if order is not None:
                return self._change(order, due)
        return self._place(due) if order is None else self._end(order, due)

    def _place(self, due: int) -> Command:
        random = self._random
        account_id, dips = random.choice(self._accounts)
        at_market, is_buy = random.random() < 0.25, random.random() < 0.5
        symbol = random.choice(self._targets) if at_market else self._targets[self._target]
        self._placed += 1
        key = f"{self._run}-{self._placed}"
        if at_market:
            order_type = OrderType.BUY if is_buy else OrderType.SELL
        else:
            order_type = OrderType.BUY_LIMIT if is_buy else OrderType.SELL_STOP
        body = {
            "symbol": symbol.name,
            "type": order_type.value,
            "volume": symbol.lots,
            "client_order_id": key,
        }
        if not at_market:
            body["price"] = dips.price(symbol, order_type)
        order = LoadOrder(key, account_id, symbol, is_buy, not at_market, body, due)
        self.orders.add(order)
        return _placing(order)

    def _change(self, order: LoadOrder, due: int) -> Command:
        bid = order.symbol.dip_bid
        away = bid // _FAR + self._random.randrange(_TAKE_PROFITS)
        points = bid + away if order.is_buy else bid - away
        body = {"take_profit": format_scaled(points, order.symbol.digits)}
        return self._on(order, due, "PATCH", ORDER, body)

    def _end(self, order: LoadOrder, due: int) -> Command:
        if order.stage is Stage.OPEN:
            return self._on(order, due, "POST", CLOSE, {})
        return self._on(order, due, "DELETE", ORDER, {})

    def _on(
        self, order: LoadOrder, due: int, method: str, path: str, body: Mapping[str, str]
    ) -> Command:
        """Mark an order that is placed already, and return a command on it."""
        order.commanded, order.is_busy = due, True
        order.commands += 1
        key = f"{order.client_order_id}-{order.commands}"
        return Command(order, key, method, path.format(order_id=order.order_id), body)


def _placing(order: LoadOrder) -> Command:
    return Command(order, order.client_order_id, "POST", ORDERS, order.body)
