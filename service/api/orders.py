"""The orders of the caller's account: place, list, change, cancel, close whole or in part.

Placing answers 201 with the new order, or 200 with the first one where its key was used before; a
market order is answered filled. A foreign order is not found.
"""

from msgspec import UNSET, UnsetType

from service.api.auth import Role
from service.api.calls import Answer, Call, Route
from service.api.errors import ApiError, TransportCode
from service.api.paging import cut_page, read_cursor
from service.api.replies import OrdersPage
from service.api.requests import (
    TRAILING_FIELD,
    Closing,
    NewOrder,
    OrderChange,
    OrdersQuery,
    distance,
    expiry,
    lots,
    points,
)
from service.domain.commands import CommandDesk
from service.domain.decision import Decision, EventKind
from service.domain.instructions import ModifyOrder, PlaceOrder
from service.domain.instrument import Symbol
from service.domain.order import OrderStatus
from service.domain.rejection import RejectCode, Rejected
from service.storage.views import EventView, OrderView

ORDERS = "/api/v1/orders"
ORDER = "/api/v1/orders/{order_id}"

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

    def decide(desk: CommandDesk, now: int) -> Decision:
        market = desk.desk.markets.get(body.symbol)
        if market is None:
            raise Rejected(
                RejectCode.UNKNOWN_SYMBOL, f"{body.symbol} is not traded in your group", "symbol"
            )
        symbol = market.symbol
        command = PlaceOrder(
            call.account_id,
            body.symbol,
            body.type,
            lots(body.volume),
            points(body.price, symbol, RejectCode.INVALID_PRICE, "price"),
            points(body.stop_loss, symbol, RejectCode.INVALID_STOP_LOSS, "stop_loss"),
            points(body.take_profit, symbol, RejectCode.INVALID_TAKE_PROFIT, "take_profit"),
            body.client_order_id,
            points(body.limit_price, symbol, RejectCode.INVALID_LIMIT_PRICE, "limit_price"),
            distance(body.trailing_distance_points),
            expiry(body.expires_at),
        )
        return desk.place(command, now, key)

    event, repeated = await call.command("place", call.account_id, key, decide, _PLACED)
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
    given: dict[str, str | None] = {
        name: value
        for name in body.__struct_fields__
        if name != TRAILING_FIELD and (value := getattr(body, name)) is not UNSET
    }
    changes = frozenset(given)
    trailing: int | None = None
    if not isinstance(body.trailing_distance_points, UnsetType):
        trailing = distance(body.trailing_distance_points)
        changes |= {"trailing_distance"}
    if not changes:
        raise ApiError(
            TransportCode.VALIDATION_FAILED,
            f"nothing to change: give one of {', '.join(body.__struct_fields__)}",
        )

    def decide(desk: CommandDesk, now: int) -> Decision:
        symbol = _symbol(desk, call.account_id, order_id)
        volume = given.get("volume")
        command = ModifyOrder(
            call.account_id,
            order_id,
            changes,
            points(given.get("price"), symbol, RejectCode.INVALID_PRICE, "price"),
            None if volume is None else lots(volume),
            points(given.get("stop_loss"), symbol, RejectCode.INVALID_STOP_LOSS, "stop_loss"),
            points(given.get("take_profit"), symbol, RejectCode.INVALID_TAKE_PROFIT, "take_profit"),
            points(given.get("limit_price"), symbol, RejectCode.INVALID_LIMIT_PRICE, "limit_price"),
            trailing,
            expiry(given.get("expires_at")),
        )
        return desk.modify(command, now, call.key)

    event, _ = await call.command("modify", call.account_id, call.key, decide, _MODIFIED, order_id)
    return Answer(200, _order(event))


async def cancel_order(call: Call[None, None]) -> Answer:
    order_id = call.number("order_id", RejectCode.ORDER_NOT_FOUND)
    event, _ = await call.command(
        "cancel",
        call.account_id,
        call.key,
        lambda desk, now: desk.cancel(call.account_id, order_id, now, call.key),
        _CANCELLED,
        order_id,
    )
    return Answer(200, _order(event))


async def close_order(call: Call[Closing, None]) -> Answer:
    order_id = call.number("order_id", RejectCode.ORDER_NOT_FOUND)
    volume = None if call.body.volume is None else lots(call.body.volume)
    event, _ = await call.command(
        "close",
        call.account_id,
        call.key,
        lambda desk, now: desk.close(call.account_id, order_id, now, call.key, volume),
        _CLOSED,
        order_id,
    )
    return Answer(200, _order(event))


def _order(event: EventView) -> OrderView:
    assert event.order is not None
    return event.order


def _symbol(desk: CommandDesk, account_id: int, order_id: int) -> Symbol:
    order = desk.desk.orders.get(order_id)
    if order is None or order.account.account_id != account_id:
        raise Rejected(RejectCode.ORDER_NOT_FOUND, f"no live order {order_id} in this account")
    return order.terms.market.symbol


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
