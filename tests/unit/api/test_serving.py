"""What every answer has in its headers, whoever it is from, and what it has not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import pytest
from aiohttp import web
from loguru import logger

from service.api import connections
from service.api.connections import ConnectionLimits
from service.api.ops import build_ops
from service.api.readiness import Readiness
from service.api.serving import HEADERS, runner_of
from service.api.socket import SocketLimits
from service.instruments import Instruments
from service.loops.supervisor import Supervisor
from tests.unit.api.test_auth_matrix import UPGRADE
from tests.unit.api.world import HOST, World, bearer, token

AUTHORIZATION = bearer(token(ttl_s=3_600))["Authorization"]  # of the whole run
UPGRADES = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())


async def head_of(port: int, request: str) -> tuple[int, dict[str, str]]:
    """Send raw text; return the status and headers it is answered with."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(request.replace("\n", "\r\n").encode("latin-1"))
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        return int(first.split()[1]), dict(line.split(": ", 1) for line in lines if line)
    finally:
        writer.transport.abort()


def assert_secure(headers: dict[str, str]) -> None:
    assert {name: headers.get(name) for name in HEADERS} == dict(HEADERS)
    assert headers["Server"] == "tapewatch"
    for text in headers.values():
        assert "aiohttp" not in text.lower()
        assert "python" not in text.lower()


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (f"GET /api/v1/account HTTP/1.1\nHost: x\nAuthorization: {AUTHORIZATION}\n\n", 200),
        ("GET /openapi.json HTTP/1.1\nHost: x\n\n", 200),
        ("GET /api/v1/account HTTP/1.1\nHost: x\n\n", 401),
        (f"GET /api/v1/orders/1 HTTP/1.1\nHost: x\nAuthorization: {AUTHORIZATION}\n\n", 404),
        ("GET /nowhere HTTP/1.1\nHost: x\n\n", 404),
        ("PUT /api/v1/orders HTTP/1.1\nHost: x\n\n", 405),
        ("GET /api/v1/account?token=x HTTP/1.1\nHost: x\n\n", 400),
        (f"GET /api/v1/stream HTTP/1.1\nHost: x\nAuthorization: {AUTHORIZATION}\n\n", 426),
        (
            f"GET /api/v1/stream HTTP/1.1\nHost: x\nAuthorization: {AUTHORIZATION}\n{UPGRADES}\n",
            101,
        ),
        ("this is no HTTP\n\n", 400),
        (f"GET /{'x' * 9_000} HTTP/1.1\nHost: x\n\n", 400),
        ("\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\n\n", 400),
    ],
)
async def test_every_answer_is_secure(world: World, request_text: str, status: int) -> None:
    found, headers = await head_of(world.port, request_text.replace("\r\n", "\n"))
    assert found == status
    assert_secure(headers)
    if status >= 400:
        assert headers["Content-Type"] == "application/problem+json"


async def test_what_is_no_http_is_told_as_what_may_repeat_and_not_quoted(world: World) -> None:
    told: list[str] = []
    sink = logger.add(told.append, format="{level} {message} {exception}")
    try:
        status, _ = await head_of(world.port, "GET / HTTP/1.1\nHost: x\nHost: hidden\n\n")
    finally:
        logger.remove(sink)
    assert status == 400
    (line,) = told
    assert line.startswith("WARNING a request that is no HTTP was refused: ")
    assert "hidden" not in line


async def test_so_is_what_is_answered_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_S", 0.1)
    async with World() as world:
        status, headers = await head_of(world.port, "GET / HT")
        assert status == 408
        assert_secure(headers)
    async with World(connections=ConnectionLimits(total=0)) as world:
        status, headers = await head_of(world.port, "GET / HTTP/1.1\n\n")
        assert status == 503
        assert_secure(headers)


async def test_sockets_are_not_all_pinged_in_the_same_moment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, due = 4, []
    loop = asyncio.get_running_loop()
    call_at = loop.call_at

    def noted(when: float, callback: Any, *arguments: Any, **options: Any) -> asyncio.TimerHandle:
        if isinstance(getattr(callback, "__self__", None), web.WebSocketResponse):
            due.append(when)
        return call_at(when, callback, *arguments, **options)

    monkeypatch.setattr(loop, "call_at", noted)
    async with AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(world.stream())
        assert len(due) == len(set(due)) == count
        assert max(due) <= loop.time() + SocketLimits().heartbeat_s


async def test_a_failure_says_nothing_of_itself(world: World) -> None:
    world.trading.failure = RuntimeError("hunter2")
    status, headers = await head_of(
        world.port,
        f"POST /api/v1/orders/1/close HTTP/1.1\nHost: x\nAuthorization: {AUTHORIZATION}\n"
        "Content-Length: 0\n\n",
    )
    assert status == 500
    assert_secure(headers)


@asynccontextmanager
async def ops_port() -> AsyncIterator[int]:
    instruments = Instruments()
    runner = runner_of(
        build_ops(instruments, Readiness(lambda: True), Supervisor(instruments, Random()))
    )
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.mark.parametrize(
    ("path", "status"), [("/livez", 200), ("/readyz", 200), ("/metrics", 200), ("/x", 404)]
)
async def test_the_ops_port_is_secure_too(path: str, status: int) -> None:
    async with ops_port() as port:
        found, headers = await head_of(port, f"GET {path} HTTP/1.1\nHost: x\n\n")
        assert found == status
        assert_secure(headers)
        assert_secure((await head_of(port, "no HTTP\n\n"))[1])
