"""The WebSocket feed against a real server that drops, talks garbage, refuses and falls silent."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from random import Random

import pytest
from aiohttp import web

from service.domain.instrument import Symbol
from service.domain.quote import Quote, QuoteRefusal
from service.feed.websocket import WebSocketFeed, WebSocketLimits
from service.scenario.instruments import INSTRUMENTS
from telemetry.pulse import Pulse
from tests.support import eventually, free_port

QUICK = WebSocketLimits(first_wait_s=0.01, longest_wait_s=0.05, silence_s=60.0, close_s=0.2)


class Upstream:
    """A server whose behaviour towards each connection the test decides."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.subscriptions: list[list[str]] = []
        self.refusals = 0
        self.refuse = 0
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.refuse:
            self.refuse -= 1
            self.refusals += 1
            return web.Response(status=503)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.requests.append(request)
        self.sockets.append(socket)
        async for message in socket:
            self.subscriptions.append(json.loads(message.data)["symbols"])
        return socket

    @property
    def subscribed(self) -> list[str]:
        return sorted(name for share in self.subscriptions for name in share)

    async def say(self, socket: web.WebSocketResponse, bid: str = "1.14605") -> None:
        await socket.send_json(
            {
                "type": "quote",
                "symbol": "EURUSD",
                "bid": bid,
                "ask": "1.14643",
                "time": "2019-01-01T23:00:00.071Z",
            }
        )

    def transport_of(self, number: int) -> asyncio.Transport:
        request = self.requests[number]
        assert isinstance(request.transport, asyncio.Transport)
        return request.transport


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    server = Upstream()
    app = web.Application()
    app.router.add_get("/", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"ws://{host}:{port}/"
    yield server
    await runner.cleanup()


class Desk:
    """What a running feed did."""

    def __init__(self) -> None:
        self.symbols: dict[str, Symbol] = {
            instrument.symbol.name: instrument.symbol for instrument in INSTRUMENTS[:4]
        }
        self.quotes: list[Quote] = []
        self.malformed: list[QuoteRefusal] = []
        self.reconnects = 0

    def count_reconnect(self) -> None:
        self.reconnects += 1


@asynccontextmanager
async def running(
    upstream: Upstream,
    desk: Desk,
    *,
    connections: int = 1,
    limits: WebSocketLimits = QUICK,
    pulse: Pulse | None = None,
) -> AsyncIterator[WebSocketFeed]:
    feed = WebSocketFeed(
        upstream.url,
        lambda: desk.symbols,
        Random(1),
        count(1).__next__,
        on_malformed=desk.malformed.append,
        on_reconnect=desk.count_reconnect,
        connections=connections,
        limits=limits,
        pulse=pulse,
    )
    task = asyncio.create_task(feed.run(desk.quotes.append))
    try:
        yield feed
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def is_healthy(feed: WebSocketFeed) -> bool:
    """Read the property anew: a type checker believes what it was told a line before."""
    return feed.healthy


async def test_healthy_only_after_the_first_message(upstream: Upstream) -> None:
    desk = Desk()
    async with running(upstream, desk) as feed:
        await eventually(lambda: upstream.subscribed == sorted(desk.symbols))
        assert not is_healthy(feed)
        await upstream.say(upstream.sockets[0])
        await eventually(lambda: is_healthy(feed))
        assert desk.quotes == [Quote("EURUSD", 114_605, 114_643, 1_546_383_600_071_000_000)]
        assert feed.last_message_time is not None
    assert not is_healthy(feed), "a feed that does not run is not healthy"


async def test_a_dropped_connection_is_made_again_and_subscribes_again(upstream: Upstream) -> None:
    desk = Desk()
    async with running(upstream, desk) as feed:
        for drop in (1, 2, 3):
            await eventually(lambda: len(upstream.subscriptions) > desk.reconnects)
            assert len(upstream.subscriptions) == drop
            assert not is_healthy(feed)
            await upstream.say(upstream.sockets[-1])
            await eventually(lambda: is_healthy(feed))
            if drop % 2:
                upstream.transport_of(-1).abort()
            else:
                await upstream.sockets[-1].close()
            await eventually(lambda: not is_healthy(feed))
        await eventually(lambda: len(upstream.subscriptions) == 4)
        assert all(sorted(share) == sorted(desk.symbols) for share in upstream.subscriptions)
        assert desk.reconnects == 3
        assert len(desk.quotes) == 3


async def test_garbage_is_counted_and_neither_heals_nor_kills(upstream: Upstream) -> None:
    desk = Desk()
    async with running(upstream, desk) as feed:
        await eventually(lambda: bool(upstream.subscriptions))
        socket = upstream.sockets[0]
        await socket.send_str("nonsense")
        await socket.send_bytes(b"\xff\x00")
        await socket.send_str('{"type":"quote","symbol":"EURUSD"}')
        await upstream.say(socket, bid="1.1460512")
        await eventually(lambda: len(desk.malformed) == 4)
        assert set(desk.malformed) == {QuoteRefusal.MALFORMED}
        assert not is_healthy(feed)
        assert desk.quotes == []
        await upstream.say(socket)
        await eventually(lambda: len(desk.quotes) == 1)
        assert is_healthy(feed)
        assert desk.reconnects == 0


async def test_silence_ends_a_connection(upstream: Upstream) -> None:
    desk = Desk()
    limits = WebSocketLimits(
        silence_s=0.1, first_wait_s=0.01, longest_wait_s=0.05, close_s=0.2, heartbeat_s=60.0
    )
    async with running(upstream, desk, limits=limits):
        await eventually(lambda: len(upstream.subscriptions) >= 3)
        assert desk.reconnects >= 2


async def test_a_silent_upstream_is_no_hang_for_its_connections_make_attempts(
    upstream: Upstream,
) -> None:
    desk, pulse = Desk(), Pulse()
    limits = WebSocketLimits(
        silence_s=0.1, first_wait_s=0.01, longest_wait_s=0.05, close_s=0.2, heartbeat_s=60.0
    )
    async with running(upstream, desk, connections=2, limits=limits, pulse=pulse):
        looks = 0
        while looks < 3:  # in a row, with no quote at all
            before = desk.reconnects
            await eventually(partial(has_reconnected, desk, before + 4))
            looks = looks + 1 if pulse.look() == 0 else 0
    assert desk.quotes == []


def has_reconnected(desk: Desk, times: int) -> bool:
    return desk.reconnects >= times


async def test_a_connection_that_hangs_gives_no_sign_of_life(upstream: Upstream) -> None:
    pulse = Pulse()
    async with running(upstream, Desk(), pulse=pulse):
        await eventually(lambda: bool(upstream.subscriptions))
        await upstream.say(upstream.sockets[0])
        await eventually(lambda: pulse.look() == 0)
        assert [pulse.look() for _ in range(3)] == [1, 2, 3], "nothing more is heard"


async def test_an_upstream_that_stops_reading_fails_the_heartbeat(upstream: Upstream) -> None:
    desk = Desk()
    limits = WebSocketLimits(
        silence_s=60.0, first_wait_s=0.01, longest_wait_s=0.05, close_s=0.2, heartbeat_s=0.2
    )
    async with running(upstream, desk, limits=limits) as feed:
        await eventually(lambda: bool(upstream.subscriptions))
        await upstream.say(upstream.sockets[0])
        await eventually(lambda: is_healthy(feed))
        upstream.transport_of(0).pause_reading()
        await eventually(lambda: len(upstream.subscriptions) == 2)
        assert desk.reconnects == 1


async def test_a_frame_above_the_limit_ends_the_connection_only(upstream: Upstream) -> None:
    desk = Desk()
    async with running(upstream, desk) as feed:
        await eventually(lambda: bool(upstream.subscriptions))
        await upstream.sockets[0].send_str("x" * 2_000_000)
        await eventually(lambda: len(upstream.subscriptions) == 2)
        await upstream.say(upstream.sockets[1])
        await eventually(lambda: is_healthy(feed))


async def test_refusals_are_retried(upstream: Upstream) -> None:
    desk = Desk()
    upstream.refuse = 3
    async with running(upstream, desk):
        await eventually(lambda: bool(upstream.subscriptions))
        assert upstream.refusals == 3
        assert desk.reconnects == 3


async def test_an_upstream_that_is_not_there_is_retried() -> None:
    desk = Desk()
    nobody = Upstream()
    nobody.url = f"ws://127.0.0.1:{free_port()}/"
    async with running(nobody, desk) as feed:
        await eventually(lambda: desk.reconnects >= 2)
        assert not is_healthy(feed)


async def test_a_pool_shares_the_symbols_and_is_healthy_when_all_have_heard(
    upstream: Upstream,
) -> None:
    desk = Desk()
    async with running(upstream, desk, connections=3) as feed:
        await eventually(lambda: len(upstream.subscriptions) == 3)
        assert upstream.subscribed == sorted(desk.symbols), "each symbol once"
        heard: list[int | None] = []
        for socket in upstream.sockets:
            assert not is_healthy(feed)
            heard.append(feed.last_message_time)
            await socket.send_str('{"type":"heartbeat"}')
            await eventually(lambda: feed.last_message_time != heard[-1])
        assert is_healthy(feed)


async def test_more_connections_than_symbols_leave_some_idle(upstream: Upstream) -> None:
    desk = Desk()
    async with running(upstream, desk, connections=6) as feed:
        await eventually(lambda: len(upstream.subscriptions) == 4)
        for socket in upstream.sockets:
            await socket.send_str('{"type":"heartbeat"}')
        await eventually(lambda: is_healthy(feed))
        assert len(upstream.sockets) == 4


async def test_a_symbol_added_later_is_subscribed_to(upstream: Upstream) -> None:
    desk = Desk()
    async with running(upstream, desk):
        await eventually(lambda: bool(upstream.subscriptions))
        added = INSTRUMENTS[7].symbol
        desk.symbols[added.name] = added
        await upstream.sockets[0].send_str('{"type":"heartbeat"}')
        await eventually(lambda: len(upstream.subscriptions) == 2)
        assert upstream.subscriptions[1] == [added.name]


async def test_an_error_of_the_taker_ends_the_feed(upstream: Upstream) -> None:
    desk = Desk()

    def fail(_: Quote) -> None:
        raise ZeroDivisionError

    feed = WebSocketFeed(
        upstream.url,
        lambda: desk.symbols,
        Random(1),
        count(1).__next__,
        on_malformed=desk.malformed.append,
        on_reconnect=desk.count_reconnect,
        connections=1,
        limits=QUICK,
    )
    task = asyncio.create_task(feed.run(fail))
    await eventually(lambda: bool(upstream.subscriptions))
    await upstream.say(upstream.sockets[0])
    with pytest.raises(ExceptionGroup) as caught:
        await task
    assert caught.group_contains(ZeroDivisionError)


@pytest.mark.parametrize(("url", "connections"), [("http://127.0.0.1/", 1), ("ws://127.0.0.1/", 0)])
def test_what_cannot_work_is_refused(url: str, connections: int) -> None:
    desk = Desk()
    with pytest.raises(ValueError, match="feed"):
        WebSocketFeed(
            url,
            lambda: desk.symbols,
            Random(1),
            count(1).__next__,
            on_malformed=desk.malformed.append,
            on_reconnect=desk.count_reconnect,
            connections=connections,
        )
