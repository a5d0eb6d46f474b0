"""The sending process of the feed benchmarks: an upstream that sends what its URL asks for.

Run as `python -m tests.bench.feed_upstream`. It prints its port. To whoever connects to
`ws://127.0.0.1:PORT/?{Turn.query}` and subscribes it sends `START_OR_END`, after a pause all quotes
of the turn, and `START_OR_END` again. Quotes that are sent all at once are of the time at which the
turn began, to the millisecond as upstreams tell it: the event loop writes many of them in one
piece, unless it is given its turn after each. Where a pace is given, they go out every 5 ms, and
the time of each is that of its sending, to the nanosecond.
"""

import asyncio
import sys
import time

import uvloop
from aiohttp import web

from service.domain.times import format_time
from tests.bench.feed_turns import START_OR_END, Tick, Turn, messages_of, ticks_of

HOST = "127.0.0.1"
LEAD_S = 0.02  # what is sent before has been read by then
PACE_S = 0.005


async def _serve() -> None:
    app = web.Application()
    app.router.add_get("/", _send)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    print(runner.addresses[0][1], flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    await reader.read()  # until whoever started this closes it, or is gone
    await runner.cleanup()


async def _send(request: web.Request) -> web.WebSocketResponse:
    turn = Turn.of_query(request.query_string)
    ticks = ticks_of(turn)
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    await socket.receive()  # the subscription
    messages = messages_of(turn, ticks, format_time(time.time_ns()))
    await socket.send_str(START_OR_END)
    await asyncio.sleep(LEAD_S)
    if turn.per_s:
        await _send_paced(socket, turn, ticks)
    else:
        for message in messages:
            await socket.send_str(message)
            if turn.apart:
                await asyncio.sleep(0)
    await socket.send_str(START_OR_END)
    await socket.receive()  # until it is closed
    return socket


async def _send_paced(socket: web.WebSocketResponse, turn: Turn, ticks: list[Tick]) -> None:
    a_step = max(1, round(turn.per_s * turn.together * PACE_S))
    due = time.monotonic()
    for first in range(0, len(ticks), a_step):
        due += PACE_S
        await asyncio.sleep(due - time.monotonic())
        now = time.time_ns()
        text = f"{format_time(now)[:-5]}.{now % 1_000_000_000:09d}Z"
        for message in messages_of(turn, ticks[first : first + a_step], text):
            await socket.send_str(message)


if __name__ == "__main__":
    uvloop.run(_serve())
