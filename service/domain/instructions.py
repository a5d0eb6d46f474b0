"""What a client asks for: orders to place, and changes of live ones."""

from dataclasses import dataclass

from service.domain.order import OrderType


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Place a market or pending order. Prices in points, volume in 1/10,000 lot.

    Attributes:
        limit_price: of a stop-limit order, where it rests once `price` is reached.
        trailing_distance: points the stop loss follows behind the closing price.
        expires_at: when a pending order is cancelled, ns UTC.
    """

    account_id: int
    symbol: str
    order_type: OrderType
    volume: int
    price: int | None = None
    stop_loss: int | None = None
    take_profit: int | None = None
    client_order_id: str | None = None
    limit_price: int | None = None
    trailing_distance: int | None = None
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class ModifyOrder:
    """Change the fields named in `changes`; None removes, where there may be nothing."""

    account_id: int
    order_id: int
    changes: frozenset[str]
    price: int | None = None
    volume: int | None = None
    stop_loss: int | None = None
    take_profit: int | None = None
    limit_price: int | None = None
    trailing_distance: int | None = None
    expires_at: int | None = None
