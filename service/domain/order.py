"""Orders: types, states, and the mutable order the engine keeps.

State machine: PENDING -> OPEN -> CLOSED, PENDING -> CANCELLED, and a market order is born OPEN. A
market order of a scenario rests as PENDING until its symbol's first tick.

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


class OrderType(StrEnum):
    """The six order types, with what is read on every trigger.

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


for _type in OrderType:
    _type.is_buy = _type.value.startswith("BUY")
    _type.kind = OrderKind[_type.value.partition("_")[2] or "MARKET"]
OrderType.BUY_LIMIT.book = "ask_at_most"
OrderType.BUY_STOP.book = OrderType.BUY.book = "ask_at_least"
OrderType.SELL_STOP.book = "bid_at_most"
OrderType.SELL_LIMIT.book = OrderType.SELL.book = "bid_at_least"


class OrderStatus(StrEnum):
    PENDING = "PENDING"
    OPEN = "OPEN"
    CLOSED = "CLOSED"
    CANCELLED = "CANCELLED"


class CloseReason(StrEnum):
    STOP_LOSS = "STOP_LOSS"
    TAKE_PROFIT = "TAKE_PROFIT"
    STOP_OUT = "STOP_OUT"
    CLIENT = "CLIENT"


class CancelReason(StrEnum):
    CLIENT = "CLIENT"
    INSUFFICIENT_MARGIN = "INSUFFICIENT_MARGIN"
    NO_RATE = "NO_RATE"


class Order:
    """A live order. Prices in points (None: not set), volume in 1/10,000 lot, times in ns UTC.

    `trigger`, `stop_loss_trigger` and `take_profit_trigger` are the normalised prices its entries
    in the trigger books rest at, since `armed_tick`; `open_tick` is the tick it was filled on,
    whose quote does not judge its own stop loss and take profit. `margin` is exact, in USD.
    """

    __slots__ = (
        "account",
        "armed_tick",
        "client_order_id",
        "commission",
        "margin",
        "open_price",
        "open_tick",
        "open_time",
        "order_id",
        "order_type",
        "placed_time",
        "price",
        "status",
        "stop_loss",
        "stop_loss_trigger",
        "take_profit",
        "take_profit_trigger",
        "terms",
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
        self.status = OrderStatus.PENDING
        self.armed_tick = 0
        self.trigger: int | None = None
        self.stop_loss_trigger: int | None = None
        self.take_profit_trigger: int | None = None
        self.open_price: int | None = None
        self.open_time: int | None = None
        self.open_tick: int | None = None
        self.margin: Decimal | None = None
        self.commission: Decimal | None = None


class OrderState(NamedTuple):
    """An order as it stood after a decision: the row that is stored.

    Prices in points of `symbol`, volume in 1/10,000 lot, times in ns UTC, money in USD. `reason`
    is a `CloseReason` or a `CancelReason` once the order has ended.
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
