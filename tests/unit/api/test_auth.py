"""Who is let in: tokens, roles, and where a token may be."""

import asyncio
import time
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp.test_utils import make_mocked_request

from service.api.auth import MAX_TOKEN_S, Authenticator, Role, issue_token
from service.api.errors import ApiError
from tests.revoked import nothing_revoked
from tests.unit.api.market import TRADER
from tests.unit.api.world import HOST, SECRET, World, bearer, token

STREAM = "/api/v1/stream"


def signed(algorithm: str = "HS256", secret: str = SECRET, **claims: Any) -> str:
    base = {"sub": "17", "role": "trader", "exp": time.time() + 86_400}
    chosen = {name: value for name, value in (base | claims).items() if value is not None}
    return jwt.encode(chosen, secret, algorithm=algorithm)


def authenticator(
    secret: str, previous: str | None = None, max_token_s: float = MAX_TOKEN_S
) -> Authenticator:
    return Authenticator(secret, nothing_revoked(), previous, max_token_s)


async def refusal(world: World, headers: dict[str, str], path: str = "/api/v1/orders") -> str:
    async with world.client.get(path, headers=headers) as response:
        problem = await response.json(content_type="application/problem+json")
        assert response.status == problem["status"] == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        return str(problem["code"])


async def test_a_token_is_needed(world: World) -> None:
    assert await refusal(world, {}) == "MISSING_TOKEN"
    assert await refusal(world, {}, STREAM) == "MISSING_TOKEN"


@pytest.mark.parametrize(
    "header",
    [
        "Basic dXNlcjpwYXNz",
        "Bearer",
        "Bearer  ",
        "Bearer not.a.token",
        "Bearer " + "x" * 5000,
        "Bearer " + signed(secret="another secret of at least 32 bytes"),
        "Bearer " + signed(algorithm="HS384", secret=SECRET + " " * 16),
        "Bearer " + jwt.encode({"sub": "17", "role": "trader", "exp": 2**33}, "", "none"),
        "Bearer " + signed(exp=None),
        "Bearer " + signed(sub=None),
        "Bearer " + signed(role=None),
        "Bearer " + signed(role="root"),
        "Bearer " + signed(role=["trader"]),
        "Bearer " + signed(sub="abc"),
        "Bearer " + signed(sub="-1"),
        "Bearer " + signed(sub="0"),
        "Bearer " + signed(sub="9" * 19),
        "Bearer " + signed(exp="soon"),
        "Bearer " + signed(exp=time.time() + 10 * 86_400),
        "Bearer " + signed(exp=2**80),
        "Bearer " + signed(exp=str(int(time.time()) + 3_600)),
        "Bearer " + signed(iat=time.time() + 3_600),
    ],
)
async def test_a_bad_token_is_invalid(world: World, header: str) -> None:
    assert await refusal(world, {"Authorization": header}) == "INVALID_TOKEN"


async def test_a_token_of_other_characters_is_invalid(world: World) -> None:
    reader, writer = await asyncio.open_connection(HOST, world.port)
    writer.write(
        b"GET /api/v1/account HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe.a.b\r\n\r\n"
    )
    answer = await reader.readuntil(b"}")
    writer.close()
    assert b" 401 " in answer.splitlines()[0]
    assert b"INVALID_TOKEN" in answer


async def test_an_expired_token_is_told_apart(world: World) -> None:
    assert await refusal(world, bearer(token(ttl_s=-1))) == "EXPIRED_TOKEN"
    assert await refusal(world, bearer(token(ttl_s=-1)), STREAM) == "EXPIRED_TOKEN"


async def test_roles_do_not_stand_in_for_each_other(world: World) -> None:
    for path, role in (("/orders", Role.ADMIN), ("/admin/accounts", Role.TRADER)):
        status, problem = await world.call("GET", path, role=role)
        assert (status, problem["code"]) == (403, "FORBIDDEN")
    async with world.client.get(STREAM, headers=bearer(token(role=Role.ADMIN))) as response:
        assert response.status == 403


@pytest.mark.parametrize("parameter", ["token", "access_token", "Token"])
@pytest.mark.parametrize("path", ["/api/v1/orders", STREAM, "/nowhere", "/openapi.json"])
async def test_a_token_in_a_url_is_refused(world: World, path: str, parameter: str) -> None:
    async with world.client.get(
        path, params={parameter: token()}, headers=bearer(token())
    ) as response:
        problem = await response.json(content_type="application/problem+json")
    assert (problem["status"], problem["code"]) == (400, "TOKEN_IN_URL")
    assert token() not in problem["detail"]


async def test_a_browser_offers_its_token_as_a_subprotocol(world: World) -> None:
    async with world.client.ws_connect(
        STREAM, protocols=("tapewatch.v1", f"bearer.{token()}")
    ) as socket:
        assert socket.protocol == "tapewatch.v1"  # and never the token
        assert (await socket.receive_json())["account"]["account_id"] == TRADER


@pytest.mark.parametrize(
    ("protocols", "headers", "status", "code"),
    [
        ((f"bearer.{token()}",), {}, 400, "BAD_REQUEST"),
        (("other",), bearer(token()), 400, "BAD_REQUEST"),
        (("tapewatch.v1",), {}, 401, "MISSING_TOKEN"),
        (("tapewatch.v1", "bearer.x"), {}, 401, "INVALID_TOKEN"),
        (("tapewatch.v1", f"bearer.{token()}"), bearer(token()), 401, "INVALID_TOKEN"),
        (("tapewatch.v1", "bearer.x", f"bearer.{token()}"), {}, 401, "INVALID_TOKEN"),
    ],
)
async def test_subprotocols_are_checked(
    world: World, protocols: tuple[str, ...], headers: dict[str, str], status: int, code: str
) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": ", ".join(protocols),
    }
    async with world.client.get(STREAM, headers=upgrade | headers) as response:
        problem = await response.json(content_type="application/problem+json")
    assert (problem["status"], problem["code"]) == (status, code)


async def test_a_handshake_with_a_header_needs_no_subprotocol(world: World) -> None:
    async with world.stream() as socket:
        assert socket.protocol is None


async def test_a_refused_handshake_is_an_http_answer(world: World) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with world.stream(ttl_s=-1):
            pass
    assert caught.value.status == 401


def test_a_token_of_the_secret_before_is_believed_as_long_as_that_is_there() -> None:
    old, new = SECRET, "the next secret of the tests, as long"
    request = make_mocked_request("GET", "/", headers=bearer(token()))
    for secrets in ((old,), (new, old), (old, new)):
        assert authenticator(*secrets).request(request, Role.TRADER).account_id == TRADER
    with pytest.raises(ApiError, match="INVALID_TOKEN"):
        authenticator(new).request(request, Role.TRADER)
    late = make_mocked_request("GET", "/", headers=bearer(token(ttl_s=-1)))
    with pytest.raises(ApiError, match="EXPIRED_TOKEN"):
        authenticator(new, old).request(late, Role.TRADER)


def test_a_token_lives_no_longer_than_it_may() -> None:
    request = make_mocked_request("GET", "/", headers=bearer(token(ttl_s=7_200)))
    assert authenticator(SECRET, None, 7_200).request(request, Role.TRADER).account_id == TRADER
    with pytest.raises(ApiError, match="for 1 h at most"):
        authenticator(SECRET, None, 3_600).request(request, Role.TRADER)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        authenticator(SECRET, "short")
    with pytest.raises(ValueError, match="32 bytes"):
        authenticator("short")
    with pytest.raises(ValueError, match="32 bytes"):
        issue_token("short", 17, Role.TRADER, 60)


@pytest.mark.parametrize(
    "claims",
    [
        {"accounts": []},
        {"accounts": [18]},
        {"accounts": [17, 17]},
        {"accounts": [17, 0]},
        {"accounts": [17, -1]},
        {"accounts": [17, True]},
        {"accounts": [17, 2**63]},
        {"accounts": [17, "18"]},
        {"accounts": "17"},
        {"accounts": {"17": 18}},
        {"accounts": list(range(17, 50))},
        {"accounts": [17, 18], "role": "admin"},
    ],
)
async def test_a_bad_list_of_accounts_is_invalid(world: World, claims: dict[str, Any]) -> None:
    assert await refusal(world, bearer(signed(**claims))) == "INVALID_TOKEN"
    assert await refusal(world, bearer(signed(**claims)), STREAM) == "INVALID_TOKEN"


async def test_a_token_of_several_accounts_deals_for_none_of_them(world: World) -> None:
    order = {"symbol": "EURUSD", "type": "BUY", "volume": "0.10"}
    headers = bearer(token(TRADER, others=[18]))
    for method, path, body in (
        ("GET", "/api/v1/account", None),
        ("POST", "/api/v1/orders", order),
        ("DELETE", "/api/v1/orders/1", None),
    ):
        async with world.client.request(method, path, json=body, headers=headers) as response:
            problem = await response.json(content_type=None)
        assert (response.status, problem["code"]) == (403, "FORBIDDEN")
    assert not world.trading.events
    async with world.client.get("/api/v1/account", headers=bearer(signed(accounts=[17]))) as one:
        assert one.status == 200


def test_accounts_that_make_no_token_are_refused() -> None:
    for role, others in ((Role.ADMIN, [18]), (Role.TRADER, [17]), (Role.TRADER, list(range(99)))):
        with pytest.raises(ValueError, match="1 to 32"):
            issue_token(SECRET, 17, role, 60, others=others)
