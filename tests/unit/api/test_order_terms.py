"""Stop-limits, trailing stops, expiry and partial closes over REST."""

import time
from typing import Any

import aiohttp
import pytest

from service.domain.times import format_time
from tests.unit.api.world import World, bearer, token

LIMIT = {"symbol": "EURUSD", "type": "BUY_LIMIT", "volume": "0.10", "price": "1.08000"}
STOP_LIMIT = {
    "symbol": "EURUSD",
    "type": "BUY_STOP_LIMIT",
    "volume": "0.10",
    "price": "1.08600",
    "limit_price": "1.08550",
}
MARKET = {"symbol": "EURUSD", "type": "BUY", "volume": "0.10"}
HOUR_NS = 3_600_000_000_000


def in_an_hour() -> str:
    return format_time(time.time_ns() + HOUR_NS)


async def place(world: World, order: dict[str, Any], **changes: Any) -> dict[str, Any]:
    status, placed = await world.call("POST", "/orders", order | changes)
    assert status == 201, placed
    return dict(placed)


async def show(world: World, order: dict[str, Any]) -> dict[str, Any]:
    status, shown = await world.call("GET", f"/orders/{order['order_id']}")
    assert status == 200
    return dict(shown)


async def test_a_stop_limit_order_waits_for_its_stop_then_for_its_limit(world: World) -> None:
    order = await place(world, STOP_LIMIT, stop_loss="1.08400", take_profit="1.09000")
    assert (order["price"], order["limit_price"]) == ("1.08600", "1.08550")
    assert (order["status"], order["activated_at"]) == ("PENDING", None)
    world.trading.quote("EURUSD", 108_590, 108_600)
    shown = await show(world, order)
    assert shown["status"] == "PENDING"
    assert shown["activated_at"] is not None
    world.trading.quote("EURUSD", 108_530, 108_540)
    opened = await show(world, order)
    assert (opened["status"], opened["open_price"]) == ("OPEN", "1.08541")


async def test_the_limit_price_of_a_reached_stop_still_changes(world: World) -> None:
    order = await place(world, STOP_LIMIT)
    path = f"/orders/{order['order_id']}"
    world.trading.quote("EURUSD", 108_590, 108_600)
    status, changed = await world.call("PATCH", path, {"limit_price": "1.08500"})
    assert (status, changed["limit_price"]) == (200, "1.08500")
    status, problem = await world.call("PATCH", path, {"price": "1.08700"})
    assert (status, problem["code"]) == (422, "INVALID_PRICE")


async def test_a_trailing_stop_is_shown_and_removed_without_its_stop_loss(world: World) -> None:
    order = await place(world, MARKET, trailing_distance_points=100)
    assert (order["trailing_distance_points"], order["stop_loss"]) == (100, "1.08389")
    world.trading.quote("EURUSD", 108_700, 108_710)
    assert (await show(world, order))["stop_loss"] == "1.08599"
    path = f"/orders/{order['order_id']}"
    _, changed = await world.call("PATCH", path, {"trailing_distance_points": 50})
    assert (changed["trailing_distance_points"], changed["stop_loss"]) == (50, "1.08649")
    _, removed = await world.call("PATCH", path, {"trailing_distance_points": None})
    assert (removed["trailing_distance_points"], removed["stop_loss"]) == (None, "1.08649")


async def test_a_pending_order_expires_unless_that_is_taken_back(world: World) -> None:
    expires_at = in_an_hour()
    order = await place(world, LIMIT, expires_at=expires_at)
    assert order["expires_at"] == expires_at
    path = f"/orders/{order['order_id']}"
    _, changed = await world.call("PATCH", path, {"expires_at": "2115-12-31T23:00:00+01:00"})
    assert changed["expires_at"] == "2115-12-31T22:00:00.000Z"
    _, changed = await world.call("PATCH", path, {"expires_at": None})
    assert changed["expires_at"] is None


async def test_a_part_of_a_position_is_closed_once_a_key(world: World) -> None:
    order = await place(world, MARKET)
    path = f"/orders/{order['order_id']}/close"
    first = await world.call("POST", path, {"volume": "0.04"}, key="part")
    assert first[0] == 200
    assert (first[1]["status"], first[1]["volume"]) == ("OPEN", "0.06")
    assert first[1]["profit"] == "-0.48"  # 12 points of spread and markup on 0.04 lot
    assert await world.call("POST", path, {"volume": "0.04"}, key="part") == first
    status, rest = await world.call("POST", path, {"volume": None})
    assert (status, rest["status"], rest["profit"]) == (200, "CLOSED", "-1.20")
    assert [event.kind for event in world.trading.events[-2:]] == ["PARTIALLY_CLOSED", "CLOSED"]


@pytest.mark.parametrize("data", [None, b""])
async def test_all_is_closed_without_a_body(world: World, data: bytes | None) -> None:
    order = await place(world, MARKET)
    path = f"/api/v1/orders/{order['order_id']}/close"
    async with world.client.post(path, data=data, headers=bearer(token())) as response:
        assert response.status == 200
        assert (await response.json())["status"] == "CLOSED"


async def test_a_body_that_is_there_must_be_json(world: World) -> None:
    order = await place(world, MARKET)
    path = f"/api/v1/orders/{order['order_id']}/close"
    headers = bearer(token()) | {"Content-Type": "application/json"}
    async with world.client.post(path, data=b"{", headers=headers) as response:
        assert (response.status, (await response.json())["code"]) == (400, "INVALID_JSON")
    form = aiohttp.FormData({"volume": "0.01"})
    async with world.client.post(path, data=form, headers=bearer(token())) as response:
        assert response.status == 415
    assert (await show(world, order))["status"] == "OPEN"


@pytest.mark.parametrize("volume", ["0", "-0.01", "0.105", "0.00001", "0.11"])
async def test_a_part_must_be_one(world: World, volume: str) -> None:
    order = await place(world, MARKET)
    path = f"/orders/{order['order_id']}/close"
    status, problem = await world.call("POST", path, {"volume": volume})
    assert (status, problem["code"], problem["field"]) == (422, "INVALID_VOLUME", "volume")


@pytest.mark.parametrize(
    ("order", "changes", "code", "field"),
    [
        (STOP_LIMIT, {"limit_price": None}, "INVALID_LIMIT_PRICE", "limit_price"),
        (STOP_LIMIT, {"limit_price": "1.08600"}, "INVALID_LIMIT_PRICE", "limit_price"),
        (STOP_LIMIT, {"limit_price": "1.08700"}, "INVALID_LIMIT_PRICE", "limit_price"),
        (STOP_LIMIT, {"limit_price": "1.0855001"}, "INVALID_LIMIT_PRICE", "limit_price"),
        (STOP_LIMIT, {"limit_price": "-1"}, "INVALID_LIMIT_PRICE", "limit_price"),
        (STOP_LIMIT, {"price": "1.08400"}, "WRONG_SIDE_OF_MARKET", "price"),
        (STOP_LIMIT, {"stop_loss": "1.08560"}, "INVALID_STOP_LOSS", "stop_loss"),
        (LIMIT, {"limit_price": "1.07900"}, "INVALID_LIMIT_PRICE", "limit_price"),
        (
            LIMIT,
            {"trailing_distance_points": 0},
            "INVALID_TRAILING_DISTANCE",
            "trailing_distance_points",
        ),
        (
            LIMIT,
            {"trailing_distance_points": -5},
            "INVALID_TRAILING_DISTANCE",
            "trailing_distance_points",
        ),
        (
            LIMIT,
            {"trailing_distance_points": 2.5},
            "VALIDATION_FAILED",
            "trailing_distance_points",
        ),
        (
            LIMIT,
            {"trailing_distance_points": 10**16},
            "VALIDATION_FAILED",
            "trailing_distance_points",
        ),
        (LIMIT, {"expires_at": "2020-01-01T00:00:00Z"}, "INVALID_EXPIRY", "expires_at"),
        (LIMIT, {"expires_at": "9999-01-01T00:00:00Z"}, "INVALID_EXPIRY", "expires_at"),
        (LIMIT, {"expires_at": "tomorrow"}, "INVALID_EXPIRY", "expires_at"),
        (LIMIT, {"expires_at": "x" * 41}, "VALIDATION_FAILED", "expires_at"),
        (MARKET, {"expires_at": "2100-01-01T00:00:00Z"}, "INVALID_EXPIRY", "expires_at"),
    ],
)
async def test_bad_terms_are_refused_with_their_own_code(
    world: World, order: dict[str, Any], changes: dict[str, Any], code: str, field: str
) -> None:
    status, problem = await world.call("POST", "/orders", order | changes)
    assert (status, problem["code"], problem["field"]) == (422, code, field)
    assert not world.desk.orders


@pytest.mark.parametrize(
    "change", [{"limit_price": "1.08"}, {"expires_at": "2100-01-01"}, {"expires_at": None}]
)
async def test_an_open_order_has_no_limit_price_and_no_expiry(
    world: World, change: dict[str, Any]
) -> None:
    order = await place(world, MARKET)
    status, problem = await world.call("PATCH", f"/orders/{order['order_id']}", change)
    assert (status, problem["code"]) == (409, "ORDER_NOT_PENDING")
