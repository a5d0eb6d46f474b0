"""Orders: types, states, and the mutable order the engine keeps.

State machine: PENDING -> OPEN -> CLOSED, PENDING -> CANCELLED, and a market order is born OPEN. A
market order of a scenario rests as PENDING until its symbol's first tick. A stop-limit order rests
as PENDING twice: at its stop price, then, once that is reached (`activated_time`), at its limit
price. A deal correction takes an order back: CLOSED -> OPEN, OPEN -> CANCELLED.

`Order` belongs to the engine alone; what leaves the domain is an immutable `OrderState`.
"""

from enum import Enum, StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from decimal import Decimal

    from service.domain.account import Account
    from service.domain.market import Terms


class OrderKind(Enum):
    MARKET = 0
    LIMIT = 1
    STOP = 2
    STOP_LIMIT = 3


class OrderType(StrEnum):
    """The order types, with what is read on every trigger.

    Attributes:
        is_buy: whether it opens a long position.
        book: which book of its market it rests in (design: Triggers). A market order of a scenario
            rests where any quote fires it.
    """

    is_buy: bool
    kind: OrderKind
    book: str

    BUY = "BUY"
    SELL = "SELL"
    BUY_LIMIT = "BUY_LIMIT"
    SELL_LIMIT = "SELL_LIMIT"
    BUY_STOP = "BUY_STOP"
    SELL_STOP = "SELL_STOP"
    BUY_STOP_LIMIT = "BUY_STOP_LIMIT"
    SELL_STOP_LIMIT = "SELL_STOP_LIMIT"


for _type in OrderType:
    _type.is_buy = _type.value.startswith("BUY")
    _type.kind = OrderKind[_type.value.partition("_")[2] or "MARKET"]
OrderType.BUY_LIMIT.book = "ask_at_most"
OrderType.BUY_STOP.book = OrderType.BUY.book = OrderType.BUY_STOP_LIMIT.book = "ask_at_least"
OrderType.SELL_STOP.book = OrderType.SELL_STOP_LIMIT.book = "bid_at_most"
OrderType.SELL_LIMIT.book = OrderType.SELL.book = "bid_at_least"


class OrderStatus(StrEnum):
    PENDING = "PENDING"
    OPEN = "OPEN"
    CLOSED = "CLOSED"
    CANCELLED = "CANCELLED"


# Reading a member off its enum costs as much as a call in Python 3.11.
_PENDING, _OPEN = OrderStatus.PENDING, OrderStatus.OPEN
_LIMIT = OrderKind.LIMIT


class CloseReason(StrEnum):
    STOP_LOSS = "STOP_LOSS"
    TAKE_PROFIT = "TAKE_PROFIT"
    STOP_OUT = "STOP_OUT"
    CLIENT = "CLIENT"


class CancelReason(StrEnum):
    CLIENT = "CLIENT"
    EXPIRED = "EXPIRED"
    CORRECTED = "CORRECTED"
    INSUFFICIENT_MARGIN = "INSUFFICIENT_MARGIN"
    NO_RATE = "NO_RATE"


class Order:
    """A live order. Prices in points (None: not set), volume in 1/10,000 lot, times in ns UTC.

    `trigger`, `stop_loss_trigger` and `take_profit_trigger` are the normalised prices its entries
    in the trigger books rest at, since `armed_tick`; `open_tick` is the tick it was filled on,
    whose quote does not judge its own stop loss and take profit (of a stop-limit that is pending
    the tick it was activated on, whose quote does not judge its limit). `margin` is exact, in USD.

    A trailing stop of `trailing_distance` points moves the stop loss at `trail_trigger`. `volume`
    is what is still open; `profit` and `swap` are what was posted so far, in USD, None before the
    first.
    """

    __slots__ = (
        "account",
        "activated_time",
        "armed_tick",
        "client_order_id",
        "commission",
        "expires_at",
        "limit_price",
        "margin",
        "open_price",
        "open_tick",
        "open_time",
        "order_id",
        "order_type",
        "placed_time",
        "price",
        "profit",
        "status",
        "stop_loss",
        "stop_loss_trigger",
        "swap",
        "swapped_until",
        "take_profit",
        "take_profit_trigger",
        "terms",
        "trail_trigger",
        "trailing_distance",
        "trigger",
        "volume",
    )

    def __init__(
        self,
        order_id: int,
        account: "Account",
        terms: "Terms",
        order_type: OrderType,
        volume: int,
        price: int | None,
        stop_loss: int | None,
        take_profit: int | None,
        client_order_id: str | None,
        placed_time: int,
        limit_price: int | None = None,
        trailing_distance: int | None = None,
        expires_at: int | None = None,
    ) -> None:
        self.order_id = order_id
        self.account = account
        self.terms = terms
        self.order_type = order_type
        self.volume = volume
        self.price = price
        self.stop_loss = stop_loss
        self.take_profit = take_profit
        self.client_order_id = client_order_id
        self.placed_time = placed_time
        self.limit_price = limit_price
        self.trailing_distance = trailing_distance
        self.expires_at = expires_at
        self.status = _PENDING
        self.armed_tick = 0
        self.activated_time: int | None = None
        self.trail_trigger: int | None = None
        self.trigger: int | None = None
        self.stop_loss_trigger: int | None = None
        self.take_profit_trigger: int | None = None
        self.open_price: int | None = None
        self.open_time: int | None = None
        self.open_tick: int | None = None
        self.margin: Decimal | None = None
        self.commission: Decimal | None = None
        self.profit: Decimal | None = None
        self.swap: Decimal | None = None
        self.swapped_until: int | None = None


def requested_opening(order: Order) -> tuple[OrderKind, int | None]:
    """Return as what an order fills when it opens, and at which requested price."""
    if order.limit_price is not None:
        return _LIMIT, order.limit_price
    return order.order_type.kind, order.price


class OrderState(NamedTuple):
    """An order as it stood after a decision: the row that is stored.

    Prices in points of `symbol`, volume in 1/10,000 lot, times in ns UTC, money in USD. `reason`
    is a `CloseReason` or a `CancelReason` once the order has ended. Before its end `volume` is what
    is open; the volume of a closed order is that of its last deal.

    Attributes:
        limit_price: of a stop-limit order; `activated_time`: when its stop price was reached.
        trailing_distance: points the stop loss follows behind the closing price, None: it does not.
        expires_at: when a pending order is cancelled, None: never.
        swap: posted so far; `swapped_until`: the last rollover that was charged.
    """

    order_id: int
    account_id: int
    client_order_id: str | None
    symbol: str
    order_type: OrderType
    status: OrderStatus
    volume: int
    price: int | None
    stop_loss: int | None
    take_profit: int | None
    trigger: int | None
    stop_loss_trigger: int | None
    take_profit_trigger: int | None
    placed_time: int
    open_price: int | None
    open_time: int | None
    open_tick: int | None
    margin: "Decimal | None"
    commission: "Decimal | None"
    close_price: int | None
    close_time: int | None
    profit: "Decimal | None"
    reason: CloseReason | CancelReason | None
    limit_price: int | None = None
    activated_time: int | None = None
    trailing_distance: int | None = None
    expires_at: int | None = None
    swap: "Decimal | None" = None
    swapped_until: int | None = None


def restored(state: OrderState, account: "Account", terms: "Terms") -> Order:
    """Return a live order as it was stored; it rests nowhere yet."""
    order = Order(
        state.order_id,
        account,
        terms,
        state.order_type,
        state.volume,
        state.price,
        state.stop_loss,
        state.take_profit,
        state.client_order_id,
        state.placed_time,
        state.limit_price,
        state.trailing_distance,
        state.expires_at,
    )
    order.status = state.status
    order.activated_time = state.activated_time
    order.open_tick = state.open_tick
    if order.status is _OPEN:
        order.open_price = state.open_price
        order.open_time = state.open_time
        order.margin = state.margin
        order.commission = state.commission
        order.profit = state.profit
        order.swap = state.swap
        order.swapped_until = state.swapped_until
    return order
