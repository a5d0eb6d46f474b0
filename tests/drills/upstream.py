"""The upstream of a drill: it quotes by a random walk, until it is told to misbehave.

Every connection gets the quotes of the symbols it has subscribed to, and a heartbeat once a second,
so that silence of the prices is not silence of the connection.
"""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from types import TracebackType
from typing import Self

from aiohttp import WSMsgType, web

from service.scenario.instruments import Instrument
from tests.faultproxy import LOOPBACK

HEARTBEAT_S = 1.0
DRAW_BACK = 0.02
SEND_TIMEOUT_S = 1.0


class Upstream:
    """Quotes `instruments` in turns, `rate` quotes a second in all.

    Attributes, to be changed at any time:
        silent: symbols that are not quoted.
        absurd: share of quotes whose bid is above their ask.
        centres: where each symbol's walk is drawn to, in points.
    """

    def __init__(self, instruments: Sequence[Instrument], random: Random, rate: float) -> None:
        self._instruments = instruments
        self._random = random
        self._rate = rate
        self.silent: set[str] = set()
        self.absurd = 0.0
        self.centres = {each.symbol.name: float(each.price) for each in instruments}
        self.mids = dict(self.centres)
        self.traded = [each.symbol.name for each in instruments]
        self.digits = {each.symbol.name: each.symbol.digits for each in instruments}
        self.moves = {each.symbol.name: each.move for each in instruments}
        self.spreads = {each.symbol.name: each.spread for each in instruments}
        self._subscribed: dict[web.WebSocketResponse, set[str]] = {}
        self._requests: dict[web.WebSocketResponse, web.Request] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, 0).start()
        self.url = f"ws://{LOOPBACK}:{self._runner.addresses[0][1]}/"
        self._tasks = [asyncio.create_task(each) for each in (self._quote(), self._beat())]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        assert self._runner is not None
        self.drop()
        await self._runner.cleanup()
        for result in results:
            if isinstance(result, Exception):
                raise result

    def drop(self) -> None:
        """Cut every connection off."""
        for request in self._requests.values():
            if request.transport is not None:
                request.transport.abort()

    def move(self, share: float, *symbols: str) -> None:
        """Let the walks of these symbols, or of all, jump by a share of their prices."""
        for name in symbols or self.centres:
            self.centres[name] *= 1 + share
            self.mids[name] = self.centres[name]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._subscribed[socket], self._requests[socket] = set(), request
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._subscribed[socket].update(json.loads(message.data)["symbols"])
        finally:
            del self._subscribed[socket], self._requests[socket]
        return socket

    async def _quote(self) -> None:
        number = 0
        while True:
            await asyncio.sleep(1 / self._rate)
            number += 1
            instrument = self._instruments[number % len(self._instruments)]
            name = instrument.symbol.name
            if name not in self.silent:
                await self._send(name, self._next(instrument))

    def _next(self, instrument: Instrument) -> str:
        symbol, random = instrument.symbol, self._random
        centre, mid = self.centres[symbol.name], self.mids[symbol.name]
        mid += random.gauss(0.0, instrument.move) + (centre - mid) * DRAW_BACK
        self.mids[symbol.name] = mid
        bid = round(mid - instrument.spread / 2)
        ask = bid + instrument.spread
        if random.random() < self.absurd:
            bid, ask = ask, bid
        return json.dumps(
            {
                "type": "quote",
                "symbol": symbol.name,
                "bid": f"{bid / 10**symbol.digits:.{symbol.digits}f}",
                "ask": f"{ask / 10**symbol.digits:.{symbol.digits}f}",
                "time": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            }
        )

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            await self._send(None, '{"type":"heartbeat"}')

    async def _send(self, symbol: str | None, text: str) -> None:
        for socket, symbols in list(self._subscribed.items()):
            if symbol is None or symbol in symbols:
                with contextlib.suppress(ConnectionError, TimeoutError):
                    await asyncio.wait_for(socket.send_str(text), SEND_TIMEOUT_S)
