"""Errors: always problem+json, always a code from the closed set, never a secret."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger

from service.api import reading
from service.api.errors import STATUS, TransportCode
from service.domain.rejection import RejectCode
from service.loops.answers import Unavailable, Withdrawn
from service.storage.errors import Unreachable
from tests.support import eventually
from tests.unit.api.world import HOST, World, bearer, token

PROBLEM = "application/problem+json"
MARKET = {"symbol": "EURUSD", "type": "BUY", "volume": "0.10"}


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What is logged from INFO on."""
    lines: list[str] = []
    sink = logger.add(lines.append, level="INFO")
    yield lines
    logger.remove(sink)


def test_every_code_has_a_status_and_the_sets_do_not_overlap() -> None:
    assert set(STATUS) == {*RejectCode, *TransportCode}
    assert not {*map(str, RejectCode)} & {*map(str, TransportCode)}
    assert all(400 <= status < 600 for status in STATUS.values())


async def test_a_problem_says_everything(world: World) -> None:
    async with world.client.post(
        "/api/v1/orders", json=MARKET | {"volume": "0.105"}, headers=bearer(token())
    ) as response:
        assert response.content_type == PROBLEM
        problem = await response.json(content_type=PROBLEM)
    assert problem.pop("detail").startswith("volume of EURUSD must be")
    assert problem == {
        "type": "urn:tapewatch:problem:invalid-volume",
        "title": "Invalid volume",
        "status": 422,
        "code": "INVALID_VOLUME",
        "field": "volume",
    }


async def test_unknown_paths_and_methods_are_problems(world: World) -> None:
    async with world.client.get("/nowhere") as response:
        problem = await response.json(content_type=PROBLEM)
        assert (response.status, problem["code"]) == (404, "NOT_FOUND")
    async with world.client.put("/api/v1/orders") as response:
        problem = await response.json(content_type=PROBLEM)
        assert (response.status, problem["code"]) == (405, "METHOD_NOT_ALLOWED")
        assert response.headers["Allow"] == "GET,POST"


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"", 400, "INVALID_JSON", None),
        (b'{"symbol":', 400, "INVALID_JSON", None),
        (b"\xff\xfe", 400, "INVALID_JSON", None),
        (b'{"symbol":"EURUSD","type":"BUY","volume":"1"} x', 400, "INVALID_JSON", None),
        (b"[]", 422, "VALIDATION_FAILED", None),
        (b"{}", 422, "VALIDATION_FAILED", "symbol"),
        (b'{"symbol":"EURUSD","type":"BUY","volume":0.1}', 422, "VALIDATION_FAILED", "volume"),
        (b'{"symbol":"EURUSD","type":"BUY","volume":"1e3"}', 422, "VALIDATION_FAILED", "volume"),
        (b'{"symbol":"EURUSD","type":"BUY","volume":"NaN"}', 422, "VALIDATION_FAILED", "volume"),
        (b'{"symbol":"EURUSD","type":"HOLD","volume":"1"}', 422, "VALIDATION_FAILED", "type"),
        (b'{"symbol":"EURUSD","type":"BUY","volume":"1","x":1}', 422, "VALIDATION_FAILED", "x"),
        (
            b'{"symbol":"EURUSD","type":"BUY","volume":"1","client_order_id":"a\\u0000"}',
            422,
            "VALIDATION_FAILED",
            "client_order_id",
        ),
        (b" " * 20_000, 413, "PAYLOAD_TOO_LARGE", None),
    ],
)
async def test_a_bad_body_is_refused(
    world: World, body: bytes, status: int, code: str, field: str | None
) -> None:
    headers = bearer(token()) | {"Content-Type": "application/json"}
    async with world.client.post("/api/v1/orders", data=body, headers=headers) as response:
        problem = await response.json(content_type=PROBLEM)
    assert (response.status, problem["code"], problem.get("field")) == (status, code, field)
    assert not world.desk.orders


async def test_a_price_as_a_number_is_told_why(world: World) -> None:
    status, problem = await world.call(
        "POST", "/orders", MARKET | {"type": "BUY_LIMIT", "price": 1.08}
    )
    assert (status, problem["field"]) == (422, "price")
    assert "decimal strings" in problem["detail"]


async def test_only_json_is_taken(world: World) -> None:
    headers = bearer(token()) | {"Content-Type": "text/plain"}
    async with world.client.post("/api/v1/orders", data=b"{}", headers=headers) as response:
        problem = await response.json(content_type=PROBLEM)
    assert (response.status, problem["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("key", ["", "a b", "x" * 65, "~", "~own"])
async def test_a_bad_idempotency_key_is_refused(world: World, key: str) -> None:
    status, problem = await world.call("POST", "/orders", MARKET, key=key)
    assert (status, problem["field"]) == (422, "Idempotency-Key")


async def test_an_empty_change_is_refused(world: World) -> None:
    status, problem = await world.call("PATCH", "/orders/1", {})
    assert (status, problem["code"]) == (422, "VALIDATION_FAILED")


async def test_a_body_that_never_ends_times_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BODY_TIMEOUT_S", 0.05)
    reader, writer = await asyncio.open_connection(HOST, world.port)
    writer.write(
        b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\nAuthorization: Bearer " + token().encode() + b"\r\n\r\n{"
    )
    answer = await reader.readuntil(b"}")
    writer.close()
    assert b" 408 " in answer.splitlines()[0]
    assert b"REQUEST_TIMEOUT" in answer


POST = (
    b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Authorization: Bearer %b\r\n"
)


async def test_a_body_that_is_not_encoded_as_it_says_is_refused(
    world: World, logged: list[str]
) -> None:
    reader, writer = await asyncio.open_connection(HOST, world.port)
    writer.write(
        POST % token().encode() + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone"
    )
    answer = await reader.readuntil(b"}")
    writer.close()
    assert b" 400 " in answer.splitlines()[0]
    assert b"BAD_REQUEST" in answer
    assert not [line for line in logged if "ERROR" in line]


async def test_a_client_that_leaves_in_mid_body_is_no_failure(
    world: World, logged: list[str]
) -> None:
    _, writer = await asyncio.open_connection(HOST, world.port)
    writer.write(POST % token().encode() + b"Content-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    name = "http_server_request_duration_seconds_count"
    await eventually(lambda: bool(world.samples(name)))
    assert all('code="400"' in labels for labels in world.samples(name))
    assert logged == []


@pytest.mark.parametrize(
    "request_line_and_headers",
    [
        b"GET /api/v1/account HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer hunter2\x01",
        b"GET /api/v1/account?token=hunter2\xff HTTP/1.1\r\nHost: x",
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"hunter2" * 2_000,
    ],
)
async def test_what_cannot_be_parsed_is_not_written_down(
    world: World,
    request_line_and_headers: bytes,
    logged: list[str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    reader, writer = await asyncio.open_connection(HOST, world.port)
    writer.write(request_line_and_headers + b"\r\n\r\n")
    assert b" 400 " in await reader.readline()
    writer.close()
    assert len(logged) == 1
    assert "hunter2" not in logged[0] + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("failure", "status", "code", "retry_after"),
    [
        (Unavailable("this process is a standby", 5), 503, "UNAVAILABLE", "5"),
        (Unreachable("10.0.0.1 refused"), 503, "UNAVAILABLE", "1"),
        (Withdrawn("it failed"), 409, "WITHDRAWN", None),
        (RuntimeError("password=hunter2"), 500, "INTERNAL", None),
    ],
)
async def test_what_fails_behind_is_answered_and_counted(
    world: World, failure: Exception, status: int, code: str, retry_after: str | None
) -> None:
    world.trading.failure = failure
    said: list[Any] = []
    sink = logger.add(said.append, level="ERROR")
    try:
        async with world.client.post(
            "/api/v1/orders", json=MARKET, headers=bearer(token())
        ) as response:
            text = await response.text()
    finally:
        logger.remove(sink)
    assert response.status == status
    assert f'"code":"{code}"' in text
    assert response.headers.get("Retry-After") == retry_after
    assert "hunter2" not in text
    assert "10.0.0.1" not in text
    assert len(said) == (1 if status == 500 else 0)
    label = code if code in ("UNAVAILABLE", "WITHDRAWN") else "ERROR"
    if isinstance(failure, Unreachable):
        label = "ERROR"
    assert world.samples("tapewatch_commands_total") == {
        f'tapewatch_commands_total{{code="{label}",command="place"}}': 1
    }


async def test_what_was_taken_back_is_told_why(world: World) -> None:
    world.trading.failure = Withdrawn("the account was loaded anew")
    _, problem = await world.call("POST", "/orders", MARKET)
    assert problem["detail"] == "it could not be stored: the account was loaded anew"


async def test_a_database_that_is_away_is_503_for_reads(world: World) -> None:
    world.reader.failure = Unreachable()
    for path in ("/orders", "/account"):
        status, problem = await world.call("GET", path)
        assert (status, problem["code"]) == (503, "UNAVAILABLE")
    async with world.client.get("/api/v1/stream", headers=bearer(token())) as response:
        assert response.status == 426  # not even a WebSocket: nothing is read for it


async def test_requests_are_measured_by_their_route(world: World) -> None:
    await world.call("GET", "/orders/1")
    await world.client.get("/nowhere/at/all")
    await world.client.request("PROPFIND", "/api/v1/orders")
    counts = world.samples("http_server_request_duration_seconds_count")
    prefix = "http_server_request_duration_seconds_count"
    for method, route, status in (
        ("GET", "/api/v1/orders/{order_id}", 404),
        ("GET", "unmatched", 404),
        ("_OTHER", "unmatched", 405),
    ):
        labels = (
            f'http_request_method="{method}",http_response_status_code="{status}",'
            f'http_route="{route}"'
        )
        assert counts[f"{prefix}{{{labels}}}"] == 1
