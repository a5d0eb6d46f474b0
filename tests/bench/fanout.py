"""(d) One message of prices to 1,000 WebSockets, against a bare aiohttp broadcast loop.

Measured: messages delivered per second, from the first write until the last byte has been read,
when a message of five prices (some 500 bytes) goes to 1,000 sockets, 20 times over. The service's
gateway sends it: framed once, written to each socket unless that is busy or chose other symbols,
giving way to the event loop after every 64.

Then with portfolio pushes on: with each message the five prices have moved, and every socket is
told as well what its own account is worth by now, five positions in these symbols: 1,000 accounts
are valued, encoded and sent 20 times over.

Against: `async for`-handlers of aiohttp and a loop that awaits `send_str` on every socket.

All servers run at the same time, on uvloop, each with its clients in another process (raw sockets
that count bytes); they take turns, another one first each round. The server's own CPU time is told
too: it does not depend on what the client had left of the machine.

Target: at least 0.8 of the bare loop for prices alone. With portfolios one core must afford 1,000
sockets with 10 pushes a second: at least 20,000 messages/s of CPU time, half of them portfolios.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
import uvloop
from tqdm import tqdm

from tests.bench.fanout_accounts import turn_bytes
from tests.bench.fanout_server import Sender, Sent
from tests.bench.processes import answer, process, tell
from tests.bench.report import Report, turns

SOCKETS = 1_000
MESSAGES_A_TURN = 20
ROUNDS = 25
WARM_UPS = 2
MIN_RATIO = 0.8
MAX_PORTFOLIOS_CPU_US = 50.0


def run(report: Report) -> None:
    """Measure both senders in turns."""
    uvloop.run(_run(report))


async def _run(report: Report) -> None:
    async with AsyncExitStack() as stack:
        pairs = [await stack.enter_async_context(_Pair.of(sender)) for sender in Sender]
        total = (WARM_UPS + ROUNDS) * len(pairs)
        for number, pair in tqdm(turns(pairs, WARM_UPS + ROUNDS), total=total, leave=False):
            seconds, sent = await pair.broadcast()
            if number >= WARM_UPS:
                delivered = SOCKETS * MESSAGES_A_TURN * pair.sender.messages_a_step
                report.add(f"{pair.sender}: messages/s", delivered / seconds)
                report.add(f"{pair.sender}: server CPU, µs/message", sent.cpu_s / delivered * 1e6)
    _conclude(report)


class _Pair:
    """A server and its clients, each a process of its own."""

    def __init__(
        self, sender: Sender, server: asyncio.subprocess.Process, client: asyncio.subprocess.Process
    ) -> None:
        self.sender = sender
        self._server = server
        self._client = client
        self._expected = turn_bytes(MESSAGES_A_TURN, with_portfolios=sender is Sender.PORTFOLIOS)

    @staticmethod
    @asynccontextmanager
    async def of(sender: Sender) -> "AsyncIterator[_Pair]":
        """Start a server and connect its clients; end both when left."""
        async with process("tests.bench.fanout_server", sender, str(SOCKETS)) as server:
            port = await answer(server)
            async with process("tests.bench.fanout_client", port, str(SOCKETS)) as client:
                await answer(client)
                yield _Pair(sender, server, client)

    async def broadcast(self) -> tuple[float, Sent]:
        """Send a turn's messages; return the seconds until all were read, and the server's word."""
        tell(self._client, self._expected)
        await answer(self._client)
        tell(self._server, MESSAGES_A_TURN)
        received = float(await answer(self._client))
        sent = msgspec.json.decode(await answer(self._server), type=Sent)
        return received - sent.started, sent


def _conclude(report: Report) -> None:
    for sender in Sender:
        report.figure(f"{sender}: messages", report.rounds[f"{sender}: messages/s"], "/s")
    for sender in Sender:
        report.figure(
            f"{sender}: server CPU a message",
            report.rounds[f"{sender}: server CPU, µs/message"],
            "µs",
            at_most=MAX_PORTFOLIOS_CPU_US if sender is Sender.PORTFOLIOS else None,
        )
    report.ratio(
        "messages/s, gateway : bare",
        f"{Sender.GATEWAY}: messages/s",
        f"{Sender.BARE}: messages/s",
        at_least=MIN_RATIO,
    )
    report.ratio(
        "messages/s, gateway with portfolios : bare",
        f"{Sender.PORTFOLIOS}: messages/s",
        f"{Sender.BARE}: messages/s",
    )
