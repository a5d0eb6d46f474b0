"""The orders of the caller's account: place, list, change, cancel, close whole or in part.

Placing answers 201 with the new order, or 200 with the first one where its key was used before; a
market order is answered filled. A foreign order is not found.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

from msgspec import UNSET, UnsetType

from service.api.auth import Role
from service.api.calls import Answer, Call, Route
from service.api.errors import ApiError, TransportCode
from service.api.paging import cut_page, read_cursor
from service.api.replies import OrdersPage
from service.api.requests import Closing, NewOrder, OrderChange, OrdersQuery, distance, expiry
from service.domain.decision import EventKind
from service.domain.order import OrderStatus
from service.domain.rejection import RejectCode, Rejected
from service.loops.commands import Cancel, Close, Modify, Place
from service.storage.views import EventView, OrderView

ORDERS = "/api/v1/orders"
ORDER = "/api/v1/orders/{order_id}"

Given = TypeVar("Given")
Value = TypeVar("Value")

_PLACED = frozenset({EventKind.PLACED, EventKind.OPENED})
_MODIFIED = frozenset({EventKind.MODIFIED})
_CANCELLED = frozenset({EventKind.CANCELLED})
_CLOSED = frozenset({EventKind.CLOSED, EventKind.PARTIALLY_CLOSED})


async def place_order(call: Call[NewOrder, None]) -> Answer:
    body = call.body
    key = body.client_order_id
    if key is not None and call.key not in (None, key):
        raise ApiError(
            TransportCode.IDEMPOTENCY_CONFLICT,
            "client_order_id is the idempotency key: leave the header out or send the same",
            "client_order_id",
        )
    key = key or call.key

    command = Place(
        symbol=body.symbol,
        order_type=body.type,
        volume=Decimal(body.volume),
        price=_decimal(body.price),
        stop_loss=_decimal(body.stop_loss),
        take_profit=_decimal(body.take_profit),
        client_order_id=body.client_order_id,
        limit_price=_decimal(body.limit_price),
        trailing_distance=distance(body.trailing_distance_points),
        expires_at=expiry(body.expires_at),
    )
    event, repeated = await call.command("place", call.account_id, key, command, _PLACED)
    order = _order(event)
    return Answer(200 if repeated else 201, order, {"Location": f"{ORDERS}/{order.order_id}"})


async def list_orders(call: Call[None, OrdersQuery]) -> Answer:
    query = call.query
    found = await call.services.reader.orders(
        call.account_id,
        _statuses(query.status),
        query.symbol,
        query.limit + 1,
        read_cursor("orders", query.cursor),
    )
    orders, cursor = cut_page("orders", found, query.limit, lambda order: order.order_id)
    return Answer(200, OrdersPage(orders=orders, next_cursor=cursor))


async def show_order(call: Call[None, None]) -> Answer:
    order_id = call.number("order_id", RejectCode.ORDER_NOT_FOUND)
    order = await call.services.reader.order(call.account_id, order_id)
    if order is None:
        raise Rejected(RejectCode.ORDER_NOT_FOUND, f"no order {order_id} in this account")
    return Answer(200, order)


async def change_order(call: Call[OrderChange, None]) -> Answer:
    order_id = call.number("order_id", RejectCode.ORDER_NOT_FOUND)
    body = call.body
    if all(getattr(body, name) is UNSET for name in body.__struct_fields__):
        raise ApiError(
            TransportCode.VALIDATION_FAILED,
            f"nothing to change: give one of {', '.join(body.__struct_fields__)}",
        )
    command = Modify(
        order_id=order_id,
        price=_change(body.price, _decimal),
        volume=_change(body.volume, _decimal),
        stop_loss=_change(body.stop_loss, _decimal),
        take_profit=_change(body.take_profit, _decimal),
        limit_price=_change(body.limit_price, _decimal),
        trailing_distance=_change(body.trailing_distance_points, distance),
        expires_at=_change(body.expires_at, expiry),
    )
    event, _ = await call.command("modify", call.account_id, call.key, command, _MODIFIED, order_id)
    return Answer(200, _order(event))


async def cancel_order(call: Call[None, None]) -> Answer:
    order_id = call.number("order_id", RejectCode.ORDER_NOT_FOUND)
    command = Cancel(order_id)
    event, _ = await call.command(
        "cancel", call.account_id, call.key, command, _CANCELLED, order_id
    )
    return Answer(200, _order(event))


async def close_order(call: Call[Closing, None]) -> Answer:
    order_id = call.number("order_id", RejectCode.ORDER_NOT_FOUND)
    command = Close(order_id, _decimal(call.body.volume))
    event, _ = await call.command("close", call.account_id, call.key, command, _CLOSED, order_id)
    return Answer(200, _order(event))


def _order(event: EventView) -> OrderView:
    assert event.order is not None
    return event.order


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _change(
    given: Given | UnsetType | None, read: Callable[[Given | None], Value | None]
) -> Value | UnsetType | None:
    """Read what was given; what was left out stays so."""
    return UNSET if isinstance(given, UnsetType) else read(given)


def _statuses(text: str | None) -> set[OrderStatus] | None:
    if text is None:
        return None
    try:
        return {OrderStatus(each.strip().upper()) for each in text.split(",")}
    except ValueError:
        raise ApiError(
            TransportCode.VALIDATION_FAILED,
            "status takes pending, open, closed and cancelled, with commas between",
            "status",
        ) from None


_PRICES = (
    RejectCode.INVALID_VOLUME,
    RejectCode.INVALID_PRICE,
    RejectCode.INVALID_STOP_LOSS,
    RejectCode.INVALID_TAKE_PROFIT,
    RejectCode.INVALID_LIMIT_PRICE,
    RejectCode.INVALID_TRAILING_DISTANCE,
    RejectCode.INVALID_EXPIRY,
    RejectCode.WRONG_SIDE_OF_MARKET,
    RejectCode.NO_QUOTE,
)

ROUTES = (
    Route(
        "POST",
        ORDERS,
        "Place a market or pending order",
        place_order,
        Role.TRADER,
        {201: OrderView, 200: OrderView},
        body=NewOrder,
        errors=(
            RejectCode.UNKNOWN_ACCOUNT,
            RejectCode.UNKNOWN_SYMBOL,
            *_PRICES,
            RejectCode.MARKET_CLOSED,
            RejectCode.CLOSE_ONLY,
            RejectCode.TRADING_HALTED,
            RejectCode.INSUFFICIENT_MARGIN,
            RejectCode.NO_RATE,
        ),
        takes_key=True,
    ),
    Route(
        "GET",
        ORDERS,
        "List orders, newest first",
        list_orders,
        Role.TRADER,
        {200: OrdersPage},
        query=OrdersQuery,
    ),
    Route(
        "GET",
        ORDER,
        "Show an order",
        show_order,
        Role.TRADER,
        {200: OrderView},
        errors=(RejectCode.ORDER_NOT_FOUND,),
    ),
    Route(
        "PATCH",
        ORDER,
        "Change a pending order, or the stops and take profit of an open one",
        change_order,
        Role.TRADER,
        {200: OrderView},
        body=OrderChange,
        errors=(RejectCode.ORDER_NOT_FOUND, RejectCode.ORDER_NOT_PENDING, *_PRICES),
        takes_key=True,
    ),
    Route(
        "DELETE",
        ORDER,
        "Cancel a pending order",
        cancel_order,
        Role.TRADER,
        {200: OrderView},
        errors=(RejectCode.ORDER_NOT_FOUND, RejectCode.ORDER_NOT_PENDING),
        takes_key=True,
    ),
    Route(
        "POST",
        ORDER + "/close",
        "Close an open order, or a part of it, at the service's price",
        close_order,
        Role.TRADER,
        {200: OrderView},
        body=Closing,
        errors=(
            RejectCode.ORDER_NOT_FOUND,
            RejectCode.ORDER_NOT_OPEN,
            RejectCode.INVALID_VOLUME,
            RejectCode.MARKET_CLOSED,
            RejectCode.TRADING_HALTED,
            RejectCode.NO_QUOTE,
            RejectCode.NO_RATE,
        ),
        takes_key=True,
        may_be_empty=True,
    ),
)
