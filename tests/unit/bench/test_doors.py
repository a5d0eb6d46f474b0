"""The doors: the crowd before them is what it is meant to be, and what is told of it."""

import asyncio
from collections import Counter

import pytest

from service.api.frames import text_frame
from service.api.socket import SocketLimits
from service.load.figures import Figures, Look, figures_of
from service.load.stages import Scrape
from service.load.tally import Tally
from service.storage.server_process import LOOPBACK
from tests.bench import doors_bare, doors_crowd
from tests.bench.doors import Crowd, _conclude, _note
from tests.bench.doors_bare import Bare
from tests.bench.doors_crowd import Crowd as Standing
from tests.bench.report import Report
from tests.support import eventually

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
LATE = b"HTTP/1.1 408 Request Timeout\r\n\r\n"
GIVEN_UP_S = 0.3
SECRET = "a secret of the doors, long enough to sign"


def figures(ms: float) -> Figures:
    tally = Tally()
    for each in (tally.answered, tally.quotes):
        each.record(int(ms * 1e6))
    before, after = (Look(Scrape(""), 0.0, time) for time in (0.0, 1.0))
    return figures_of("interval", tally, before, after, 0, {})


def test_a_crowd_is_judged_by_what_a_trader_notices() -> None:
    report = Report()
    for crowd, ms in zip(Crowd, (4.0, 4.5, 8.0, 4.0, 7.0), strict=True):
        for _ in range(3):
            _note(report, crowd, figures(ms))
        report.add(f"{crowd.label}: cores taken by the crowd", 0.03)
    report.add("cores taken by the bare server", 0.02)
    report.add("memory of an idle socket, kB", 30.0)
    _conclude(report, Counter({"body: 408": 7}), 5_000)
    verdicts = {figure.name: figure.verdict for figure in report.figures}
    for what in ("median", "p99"):
        for name in ("command to answer", "tick to quotes pushed"):
            assert verdicts[f"{name}, {what}: with idle sockets : without"] == "met"
            both = f"{name}, {what}: with idle sockets and slow senders : without"
            assert verdicts[both] == "missed"
            assert verdicts[f"{name}, {what}: with both elsewhere : without"] is None
            assert verdicts[f"{name}, {what}: with both here : elsewhere"] == "met"
    assert verdicts["slow senders that ended: body: 408"] is None


class Door:
    """A service that pings who wants no prices, and soon gives up on all others."""

    def __init__(self) -> None:
        self.pongs = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(GIVEN_UP_S):
                head = await reader.read(4_096)
                if not head.startswith(b"GET") or not head.endswith(b"\r\n\r\n"):
                    await reader.read(1)
                    writer.write(LATE)
                    return
                writer.write(SWITCHED)
                await reader.read(4_096)
                writer.write(b"\x89\x00")
                pong = await reader.read(4_096)
                self.pongs += pong.startswith(b"\x8a")
        except TimeoutError:
            pass  # as a stream of which nothing is read
        finally:
            writer.close()


async def test_idle_sockets_answer_pings_and_slow_senders_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doors_crowd, "HEAD_TIMEOUT_S", 0.0)
    monkeypatch.setattr(doors_crowd, "BYTE_EVERY_S", 0.01)
    monkeypatch.setattr(doors_crowd, "UNREAD_S", 0.05)
    door = Door()
    async with await asyncio.start_server(door, LOOPBACK) as server:
        crowd = Standing(server.sockets[0].getsockname()[1], SECRET, 5)
        await crowd.become(3, 0)
        await eventually(lambda: door.pongs == 3)
        await eventually(lambda: len(crowd.lost) == 3)  # this door closes them
        await crowd.become(0, 3)
        assert not crowd.lost
        await eventually(lambda: crowd.ends["body: 408"] > 1 and crowd.ends["unread: cut"] > 1)
        await crowd.become(0, 0)
        assert crowd.ends["handshake: cut"] > 0


async def test_a_bare_server_does_what_the_service_must(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = SocketLimits(write_buffer_bytes=1_024, stall_timeout_s=0.05, heartbeat_s=0.01)
    monkeypatch.setattr(doors_bare, "LIMITS", limits)
    monkeypatch.setattr(doors_bare, "PRICES", text_frame(b"x" * 60_000))
    monkeypatch.setattr(doors_bare, "SHOW_INTERVAL_S", 0.001)
    for module in (doors_bare, doors_crowd):
        monkeypatch.setattr(module, "HEAD_TIMEOUT_S", 0.2)
    monkeypatch.setattr(doors_bare, "BODY_TIMEOUT_S", 0.2)
    monkeypatch.setattr(doors_crowd, "BYTE_EVERY_S", 0.01)
    monkeypatch.setattr(doors_crowd, "UNREAD_S", 1.0)
    pongs = 0
    received = Bare.data_received

    def data_received(self: Bare, data: bytes) -> None:
        nonlocal pongs
        pongs += data.startswith(b"\x8a")
        received(self, data)

    monkeypatch.setattr(Bare, "data_received", data_received)
    loop = asyncio.get_running_loop()
    async with await loop.create_server(Bare, LOOPBACK, 0) as server:
        crowd = Standing(server.sockets[0].getsockname()[1], SECRET, 5)
        await crowd.become(3, 3)
        await eventually(lambda: pongs > 9)
        ends = {"body: 408", "handshake: 408", "unread: cut"}
        await eventually(lambda: crowd.ends.keys() == ends)
        assert not crowd.lost
        await crowd.become(0, 0)
