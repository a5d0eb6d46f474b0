"""(l) Quotes off a socket until each is judged, against a bare receive-and-decode loop.

Measured: from the first message of a turn until the last, the CPU time of the process that reads
them and the time on the clock, on uvloop. An upstream in another process sends 2,000 quotes of 30
symbols as fast as it can: each in a message by itself, as a market brings them; in bulk, where many
messages arrive with one read of the socket; and in bulk with ten quotes to a message. What reads
them:

- `service`: as in production without a collector: its feed (two decimal strings and a time become
  an exact quote), its guards and metrics, and the engine over 10,000 orders that rest out of reach;
- `bare`: aiohttp's `receive` and msgspec's decoding into the same structures of strings, in a loop
  that keeps nothing. It runs twice a round: its ratio to itself is the noise.

They take the same quotes in turns, in an order drawn anew each round. The CPU time does not depend
on what the upstream had left of the machine: messages a second are of CPU time, unless said.

Target: the service reads at least 0.7 of the messages that the bare loop does.
"""

import asyncio
import gc
from typing import NamedTuple

import aiohttp
import msgspec
import uvloop
from tqdm import tqdm

from service.feed.upstream import MAX_FRAME_BYTES, Message, encode_subscription
from service.instruments import Instruments
from telemetry.runtime import Runtime
from tests.bench.feed_desk import (
    TURN_TIMEOUT_S,
    FeedDesk,
    Mark,
    Shell,
    Taken,
    feed_upstream,
)
from tests.bench.feed_turns import Turn
from tests.bench.quiet_logs import quiet_logs
from tests.bench.report import Report, shuffled_turns

QUOTES_A_TURN = 2_000
WARM_UPS = 2
MIN_RATIO = 0.7
SERVICE, BARE, BARE_AGAIN = "service", "bare", "bare again"
READERS = (SERVICE, BARE, BARE_AGAIN)

_ONE = msgspec.json.Decoder[Message](Message)
_MANY = msgspec.json.Decoder[list[Message]](list[Message])


class Load(NamedTuple):
    """What comes, and in how many rounds."""

    name: str
    turn: Turn
    rounds: int


LOADS = (
    Load("one by one", Turn(QUOTES_A_TURN, apart=1), 60),
    Load("in bulk", Turn(QUOTES_A_TURN), 60),
    Load("in bulk, ten quotes a message", Turn(QUOTES_A_TURN, together=10), 60),
)


def run(report: Report) -> None:
    """Measure all loads."""
    with quiet_logs():
        uvloop.run(measure(report, LOADS))


async def measure(report: Report, loads: tuple[Load, ...]) -> None:
    """Measure loads, and draw the figures."""
    async with feed_upstream() as upstream:
        desk = FeedDesk(upstream)
        shell = desk.shell(Instruments())
        for load in loads:
            rounds = WARM_UPS + load.rounds
            turns = shuffled_turns(READERS, rounds)
            for number, reader in tqdm(turns, load.name, rounds * len(READERS), leave=False):
                turn = load.turn._replace(seed=number)
                if reader == SERVICE:
                    taken = await _take(desk, shell, turn)
                else:
                    taken = await receive(upstream, turn)
                if number >= WARM_UPS:
                    messages = turn.quotes / turn.together
                    report.add(_cpu(load, reader), messages / taken.cpu_s)
                    report.add(_clock(load, reader), messages / taken.seconds)
            _conclude(report, load)


async def _take(desk: FeedDesk, shell: Shell, turn: Turn) -> Taken:
    sampling = asyncio.create_task(Runtime(shell.instruments.metrics).run())
    try:
        return await desk.take(shell, turn)
    finally:
        sampling.cancel()
        await asyncio.wait((sampling,))


async def receive(upstream: str, turn: Turn) -> Taken:
    """Receive a turn's messages, decode each, and return what it took."""
    decode = _ONE.decode if turn.together == 1 else _MANY.decode
    marks: list[Mark] = []
    decoded = 0
    gc.collect()
    async with (
        asyncio.timeout(TURN_TIMEOUT_S),
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{upstream}/?{turn.query}", max_msg_size=MAX_FRAME_BYTES) as socket,
    ):
        await socket.send_bytes(encode_subscription(()))
        while len(marks) < 2:
            message = await socket.receive()
            try:
                decode(message.data)
                decoded += 1
            except msgspec.DecodeError:  # the turn begins or ends
                marks.append(Mark.now())
    assert decoded == turn.quotes / turn.together
    start, end = marks
    return end.since(start)


def _cpu(load: Load, reader: str) -> str:
    return f"{load.name}: {reader}, messages/s of CPU time"


def _clock(load: Load, reader: str) -> str:
    return f"{load.name}: {reader}, messages/s on the clock"


def _conclude(report: Report, load: Load) -> None:
    for reader in (SERVICE, BARE):
        report.figure(f"{load.name}: {reader}", report.rounds[_cpu(load, reader)], "messages/s")
        on_the_clock = report.rounds[_clock(load, reader)]
        report.figure(f"{load.name}: {reader}, on the clock", on_the_clock, "messages/s")
    report.ratio(
        f"{load.name}: service : bare", _cpu(load, SERVICE), _cpu(load, BARE), at_least=MIN_RATIO
    )
    report.ratio(
        f"{load.name}: service : bare, on the clock", _clock(load, SERVICE), _clock(load, BARE)
    )
    report.ratio(f"{load.name}: bare again : bare", _cpu(load, BARE_AGAIN), _cpu(load, BARE))
