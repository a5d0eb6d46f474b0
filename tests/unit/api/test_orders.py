"""Orders over REST: what a trader sends, and what comes back."""

from typing import Any

import pytest

from tests.unit.api.market import OTHER, POOR
from tests.unit.api.world import World, bearer, token

LIMIT = {"symbol": "EURUSD", "type": "BUY_LIMIT", "volume": "0.10", "price": "1.08000"}
MARKET = {"symbol": "EURUSD", "type": "BUY", "volume": "0.10"}


async def place(world: World, order: dict[str, Any], **changes: Any) -> dict[str, Any]:
    status, placed = await world.call("POST", "/orders", order | changes)
    assert status == 201, placed
    return dict(placed)


async def test_a_pending_order_rests_with_its_protection(world: World) -> None:
    order = await place(world, LIMIT, stop_loss="1.07", take_profit="1.09000")
    assert order["status"] == "PENDING"
    assert (order["price"], order["stop_loss"], order["take_profit"]) == (
        "1.08000",
        "1.07000",
        "1.09000",
    )
    assert order["volume"] == "0.10"
    assert await world.call("GET", f"/orders/{order['order_id']}") == (200, order)


async def test_a_market_order_is_answered_filled_at_the_group_price(world: World) -> None:
    order = await place(world, MARKET)
    assert order["status"] == "OPEN"
    assert order["open_price"] == "1.08501"  # ask 1.08500 and half the markup of 2 points
    assert order["margin"] == "108.501"


async def test_a_new_order_says_where_it_is(world: World) -> None:
    async with world.client.post("/api/v1/orders", json=LIMIT, headers=bearer(token())) as response:
        order = await response.json()
        assert response.headers["Location"] == f"/api/v1/orders/{order['order_id']}"
        assert response.content_type == "application/json"


async def test_a_repeated_client_order_id_returns_the_first_order(world: World) -> None:
    first = await place(world, LIMIT, client_order_id="one")
    status, again = await world.call(
        "POST", "/orders", LIMIT | {"client_order_id": "one", "volume": "5.00"}
    )
    assert (status, again) == (200, first)
    assert len(world.desk.orders) == 1


async def test_accounts_do_not_share_their_keys(world: World) -> None:
    await place(world, LIMIT, client_order_id="one")
    status, _ = await world.call(
        "POST", "/orders", LIMIT | {"client_order_id": "one"}, account_id=OTHER
    )
    assert status == 201


async def test_every_change_is_idempotent_by_its_key(world: World) -> None:
    status, order = await world.call("POST", "/orders", LIMIT, key="a")
    assert status == 201
    assert await world.call("POST", "/orders", LIMIT, key="a") == (200, order)
    path = f"/orders/{order['order_id']}"
    changed = await world.call("PATCH", path, {"price": "1.07"}, key="b")
    assert await world.call("PATCH", path, {"price": "1.06"}, key="b") == changed
    cancelled = await world.call("DELETE", path, key="c")
    assert cancelled[0] == 200
    assert await world.call("DELETE", path, key="c") == cancelled
    opened = await place(world, MARKET)
    close = f"/orders/{opened['order_id']}/close"
    closed = await world.call("POST", close, key="d")
    assert await world.call("POST", close, key="d") == closed


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_key_serves_one_command_only(world: World, method: str) -> None:
    order = await place(world, LIMIT, client_order_id="one")
    status, problem = await world.call(
        method,
        f"/orders/{order['order_id']}",
        {"price": "1.07"} if method == "PATCH" else None,
        key="one",
    )
    assert (status, problem["code"]) == (422, "IDEMPOTENCY_CONFLICT")


async def test_header_and_client_order_id_must_not_contradict_each_other(world: World) -> None:
    body = LIMIT | {"client_order_id": "one"}
    status, problem = await world.call("POST", "/orders", body, key="two")
    assert (status, problem["code"]) == (422, "IDEMPOTENCY_CONFLICT")
    assert (await world.call("POST", "/orders", body, key="one"))[0] == 201


async def test_patch_tells_absent_from_null(world: World) -> None:
    order = await place(world, LIMIT, stop_loss="1.07", take_profit="1.09")
    path = f"/orders/{order['order_id']}"
    _, changed = await world.call("PATCH", path, {"stop_loss": None, "volume": "0.2"})
    assert (changed["stop_loss"], changed["take_profit"]) == (None, "1.09000")
    assert (changed["price"], changed["volume"]) == ("1.08000", "0.20")


async def test_an_open_order_takes_a_new_stop_loss_but_no_price(world: World) -> None:
    order = await place(world, MARKET)
    path = f"/orders/{order['order_id']}"
    status, changed = await world.call("PATCH", path, {"stop_loss": "1.08"})
    assert (status, changed["stop_loss"]) == (200, "1.08000")
    status, problem = await world.call("PATCH", path, {"price": "1.08"})
    assert (status, problem["code"]) == (409, "ORDER_NOT_PENDING")


async def test_an_open_order_closes_at_the_price_of_the_service(world: World) -> None:
    order = await place(world, MARKET)
    world.trading.quote("EURUSD", 108_700, 108_710)
    status, closed = await world.call("POST", f"/orders/{order['order_id']}/close")
    assert status == 200
    assert (closed["status"], closed["reason"]) == ("CLOSED", "CLIENT")
    assert closed["close_price"] == "1.08699"
    assert closed["profit"] == "19.80"


async def test_pending_orders_are_cancelled_and_open_ones_closed(world: World) -> None:
    pending, opened = await place(world, LIMIT), await place(world, MARKET)
    status, problem = await world.call("POST", f"/orders/{pending['order_id']}/close")
    assert (status, problem["code"]) == (409, "ORDER_NOT_OPEN")
    status, problem = await world.call("DELETE", f"/orders/{opened['order_id']}")
    assert (status, problem["code"]) == (409, "ORDER_NOT_PENDING")
    status, cancelled = await world.call("DELETE", f"/orders/{pending['order_id']}")
    assert (status, cancelled["status"]) == (200, "CANCELLED")


async def test_a_foreign_order_is_not_found(world: World) -> None:
    order = await place(world, LIMIT)
    path = f"/orders/{order['order_id']}"
    for method, where, body in (
        ("GET", path, None),
        ("PATCH", path, {"price": "1.07"}),
        ("DELETE", path, None),
        ("POST", path + "/close", None),
    ):
        status, problem = await world.call(method, where, body, account_id=OTHER)
        assert (status, problem["code"]) == (404, "ORDER_NOT_FOUND")
    assert await world.call("GET", "/orders", account_id=OTHER) == (
        200,
        {"orders": [], "next_cursor": None},
    )


@pytest.mark.parametrize("order_id", ["abc", "-1", "1.5", "9" * 30, "١"])
async def test_what_is_no_order_id_is_not_found(world: World, order_id: str) -> None:
    status, problem = await world.call("GET", f"/orders/{order_id}")
    assert (status, problem["code"]) == (404, "ORDER_NOT_FOUND")


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"symbol": "NOPE"}, "UNKNOWN_SYMBOL", "symbol"),
        ({"symbol": "GBPUSD"}, "UNKNOWN_SYMBOL", "symbol"),
        ({"volume": "0.105"}, "INVALID_VOLUME", "volume"),
        ({"volume": "0.00001"}, "INVALID_VOLUME", "volume"),
        ({"volume": "-1"}, "INVALID_VOLUME", "volume"),
        ({"price": "1.080001"}, "INVALID_PRICE", "price"),
        ({"price": "0"}, "INVALID_PRICE", "price"),
        ({"price": None}, "INVALID_PRICE", "price"),
        ({"price": "999999999999999"}, "INVALID_PRICE", "price"),
        ({"price": "1.09"}, "WRONG_SIDE_OF_MARKET", "price"),
        ({"stop_loss": "1.09"}, "INVALID_STOP_LOSS", "stop_loss"),
        ({"stop_loss": "1.0700001"}, "INVALID_STOP_LOSS", "stop_loss"),
        ({"take_profit": "1.07"}, "INVALID_TAKE_PROFIT", "take_profit"),
        ({"take_profit": "0.0000001"}, "INVALID_TAKE_PROFIT", "take_profit"),
    ],
)
async def test_a_bad_order_is_refused_with_its_own_code(
    world: World, changes: dict[str, Any], code: str, field: str
) -> None:
    status, problem = await world.call("POST", "/orders", LIMIT | changes)
    assert (status, problem["code"], problem["field"]) == (422, code, field)
    assert not world.desk.orders


async def test_what_the_account_or_market_cannot_carry_is_refused(world: World) -> None:
    for account_id, order, expected in (
        (POOR, MARKET, (422, "INSUFFICIENT_MARGIN")),
        (17, MARKET | {"symbol": "XAUUSD"}, (409, "NO_QUOTE")),
        (404, MARKET, (404, "UNKNOWN_ACCOUNT")),
    ):
        status, problem = await world.call("POST", "/orders", order, account_id=account_id)
        assert (status, problem["code"]) == expected
    world.trading.quote("EURPLN", 43_000, 43_010)
    status, problem = await world.call("POST", "/orders", MARKET | {"symbol": "EURPLN"})
    assert (status, problem["code"]) == (409, "NO_RATE")


async def test_the_list_is_newest_first_and_paged(world: World) -> None:
    placed = [(await place(world, LIMIT))["order_id"] for _ in range(5)]
    seen: list[int] = []
    path = "/orders?limit=2"
    while True:
        status, page = await world.call("GET", path)
        assert status == 200
        seen += [order["order_id"] for order in page["orders"]]
        if page["next_cursor"] is None:
            break
        path = f"/orders?limit=2&cursor={page['next_cursor']}"
    assert seen == placed[::-1]


async def test_the_list_is_filtered_by_status_and_symbol(world: World) -> None:
    pending, opened = await place(world, LIMIT), await place(world, MARKET)
    await world.call("POST", f"/orders/{opened['order_id']}/close")
    for query, expected in (
        ("status=pending,open", [pending["order_id"]]),
        ("status=closed", [opened["order_id"]]),
        ("symbol=EURUSD", [opened["order_id"], pending["order_id"]]),
        ("symbol=USDJPY", []),
    ):
        _, page = await world.call("GET", f"/orders?{query}")
        assert [order["order_id"] for order in page["orders"]] == expected


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("status=resting", "status"),
        ("cursor=zzz", "cursor"),
        ("cursor=bGVkZ2VyOjE", "cursor"),  # one of the ledger
        ("symbol=%00", "symbol"),
        ("page=2", "page"),
    ],
)
async def test_a_bad_query_names_its_parameter(world: World, query: str, field: str) -> None:
    status, problem = await world.call("GET", f"/orders?{query}")
    assert (status, problem["code"], problem["field"]) == (422, "VALIDATION_FAILED", field)
