"""Every call of the OpenAPI document, and every message of the stream, against every kind of token.

What is expected is derived from the role the document declares, so that a new route is covered the
day it is written; a route the document does not tell of fails in `test_openapi`.
"""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import aiohttp
import jwt
import pytest

from service.api.auth import Role
from service.api.gateway import ROUTES
from service.api.openapi import STREAM_PATH, openapi_document
from service.domain.order import OrderStatus
from service.loops.requests import Author
from tests.unit.api.market import OTHER, TRADER
from tests.unit.api.test_auth import signed
from tests.unit.api.world import SECRET, World, bearer, token

DOCUMENT: dict[str, Any] = openapi_document(ROUTES, "1")
ORDER = {"symbol": "EURUSD", "type": "BUY_LIMIT", "volume": "0.10", "price": "1.08000"}
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
# A parameter that is not here is one the matrix was not told what to put for.
PARAMETERS = {
    "order_id": "1",
    "account_id": str(TRADER),
    "deal_id": "1",
    "symbol": "EURUSD",
    "group": "gold",
}


class Operation(NamedTuple):
    """A call of the document and the role it declares."""

    method: str
    path: str
    role: str | None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_stream(self) -> bool:
        return self.path == STREAM_PATH


def operations() -> Iterator[Operation]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            (requirement,) = operation["security"] or ({"bearer": [None]},)
            (role,) = requirement["bearer"]
            yield Operation(method.upper(), path, role)


OPERATIONS = list(operations())
FOR_TRADERS = [each for each in OPERATIONS if each.role == Role.TRADER]


async def ask(
    world: World, operation: Operation, headers: dict[str, str], **parameters: str
) -> tuple[int, Any]:
    """Make a call with an empty body; return its status and its answer, or what refused it."""
    path = operation.path.format(**PARAMETERS | parameters)
    extra = UPGRADE if operation.is_stream else {}
    body: dict[str, str] | None = {} if operation.method in ("POST", "PUT", "PATCH") else None
    async with world.client.request(
        operation.method, path, json=body, headers=headers | extra
    ) as response:
        if response.status == 101:
            return 101, {}
        return response.status, await response.json(content_type=None)


def strangers() -> dict[str, tuple[dict[str, str], int, str]]:
    """Return the tokens that nobody accepts, by what is wrong with them."""
    unsigned = jwt.encode({"sub": "17", "role": "admin", "exp": time.time() + 60}, "", "none")
    return {
        "none": ({}, 401, "MISSING_TOKEN"),
        "malformed": (bearer("not.a.token"), 401, "INVALID_TOKEN"),
        "unsigned": (bearer(unsigned), 401, "INVALID_TOKEN"),
        "of another secret": (bearer(signed(secret="another" * 8)), 401, "INVALID_TOKEN"),
        "of another algorithm": (
            bearer(signed(algorithm="HS512", secret=SECRET * 2, role="admin")),
            401,
            "INVALID_TOKEN",
        ),
        "of no account": (bearer(signed(sub="0")), 401, "INVALID_TOKEN"),
        "of no role": (bearer(signed(role="root")), 401, "INVALID_TOKEN"),
        "for ever": (bearer(signed(exp=time.time() + 10**7)), 401, "INVALID_TOKEN"),
        "expired trader": (bearer(token(ttl_s=-1)), 401, "EXPIRED_TOKEN"),
        "expired admin": (bearer(token(role=Role.ADMIN, ttl_s=-1)), 401, "EXPIRED_TOKEN"),
        "revoked trader": (bearer(signed(jti="revoked")), 401, "REVOKED_TOKEN"),
        "revoked admin": (bearer(signed(jti="revoked", role="admin")), 401, "REVOKED_TOKEN"),
        "basic": ({"Authorization": "Basic dHJhZGVyOnRyYWRlcg=="}, 401, "INVALID_TOKEN"),
    }


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
async def test_strangers_are_refused(world: World, operation: Operation) -> None:
    assert operation.role in tuple(Role), "everything that is described needs a token"
    await world.revocations.revoke_token("revoked", Author("1", "a test"))
    for name, (headers, status, code) in strangers().items():
        found, problem = await ask(world, operation, headers)
        assert (found, problem["code"]) == (status, code), name
    assert not world.trading.events
    assert not world.trading.audit


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
async def test_the_declared_role_is_let_in_and_no_other(world: World, operation: Operation) -> None:
    for role in Role:
        status, answer = await ask(world, operation, bearer(token(role=role)))
        if role == operation.role:
            assert status not in (401, 403)
            assert status < 500, answer
        else:
            assert (status, answer["code"]) == (403, "FORBIDDEN")
    several = bearer(token(TRADER, others=[OTHER]))
    status, answer = await ask(world, operation, several)
    if operation.is_stream:
        assert status == 101
    else:
        assert (status, answer["code"]) == (403, "FORBIDDEN")


@pytest.mark.parametrize("operation", FOR_TRADERS, ids=str)
async def test_a_trader_reaches_nothing_of_another(world: World, operation: Operation) -> None:
    _, order = await world.call("POST", "/orders", ORDER)
    _, filled = await world.call("POST", "/orders", {**ORDER, "type": "BUY", "price": None})
    others = bearer(token(OTHER))
    for order_id in (order["order_id"], filled["order_id"]):
        status, answer = await ask(world, operation, others, order_id=str(order_id))
        if "{order_id}" in operation.path and operation.method != "PATCH":
            assert (status, answer["code"]) == (404, "ORDER_NOT_FOUND")
        assert f'"account_id": {TRADER}' not in str(answer).replace("'", '"')
        assert answer.get("orders", []) == answer.get("deals", []) == []
    assert [each.status for each in world.desk.orders.values()] == [
        OrderStatus.PENDING,
        OrderStatus.OPEN,
    ]


async def test_a_trader_changes_nothing_of_another(world: World) -> None:
    _, order = await world.call("POST", "/orders", ORDER)
    path = f"/orders/{order['order_id']}"
    status, answer = await world.call("PATCH", path, {"price": "1.07000"}, account_id=OTHER)
    assert (status, answer["code"]) == (404, "ORDER_NOT_FOUND")
    assert await world.call("GET", path) == (200, order)


def messages() -> dict[str, dict[str, Any]]:
    """Return what a client may send on the stream: the schemas of those that are only received."""
    schemas = DOCUMENT["components"]["schemas"]
    received = DOCUMENT["paths"][STREAM_PATH]["get"]["description"].partition("Received: ")[2]
    return {name: schemas[name] for name in received.partition(".")[0].split(", ")}


def test_no_message_names_an_account() -> None:
    """Whose it is, the token says: a message that named another would need a check of its own."""
    assert messages().keys() == {"Subscribe", "Unsubscribe", "Ping"}
    for schema in messages().values():
        assert not [name for name in schema["properties"] if "account" in name]


@pytest.mark.parametrize("name", messages())
async def test_a_message_is_taken_from_whoever_has_a_stream(world: World, name: str) -> None:
    kind = messages()[name]["properties"]["type"]["enum"][0]
    for accounts in ((TRADER,), (TRADER, OTHER)):
        async with world.stream(*accounts) as socket:
            for _ in accounts:
                assert (await socket.receive_json())["account"]["account_id"] in accounts
            await socket.send_json({"type": kind})
            answer = await socket.receive_json()
            assert answer["type"] in ("subscribed", "pong")


@pytest.mark.parametrize("name", messages())
async def test_nobody_else_gets_to_send_one(world: World, name: str) -> None:
    await world.revocations.revoke_token("revoked", Author("1", "a test"))
    refused = [headers for headers, _, _ in strangers().values()]
    for headers in (*refused, bearer(token(role=Role.ADMIN))):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with world.client.ws_connect(STREAM_PATH, headers=headers):
                pytest.fail(f"{name} could be sent")
        assert caught.value.status in (401, 403)
