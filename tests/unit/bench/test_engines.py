"""Engines against each other: costs are of what comes on top, and traders end what they place."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping

import pytest

from service.storage.server_process import LOOPBACK
from tests.bench.engines import Measured, conclude, note
from tests.bench.engines_deployment import PARTS, Stretch
from tests.bench.engines_load import Done, Traders
from tests.bench.report import Report
from tests.support import eventually

SECRET = "a secret of the engines, long enough to sign"


def measured(cores: Mapping[str, float], ticks_per_s: float, commands_per_s: int = 0) -> Measured:
    """Return a step of a second."""
    done = Done(1.0, int(ticks_per_s), commands_per_s, 0, "", 5.0, 9.0)
    return Measured(Stretch(cores, [ticks_per_s]), done)


def test_costs_are_of_what_comes_on_top() -> None:
    report = Report()
    for engines in (1, 2, 4):
        quiet = dict.fromkeys(PARTS, 0.05)
        ticks = quiet | {"engines": 0.05 + engines * 0.08, "Redis": 0.05 + 0.02}
        commands = dict.fromkeys(PARTS, 0.01) | {"PostgreSQL": 0.21}
        note(
            report,
            engines,
            measured(quiet, 1_000),
            measured(ticks, 5_000),
            measured(dict.fromkeys(PARTS, 0.01), 100),
            measured(commands, 100, commands_per_s=200),
        )
    conclude(report)
    values = {figure.name: figure.value for figure in report.figures}
    assert values["1 engine: a tick, engines, CPU"] == pytest.approx(20)
    assert values["4 engines: a tick, all together, CPU"] == pytest.approx(85)
    assert values["4 engines: a command, PostgreSQL, CPU"] == pytest.approx(1_000)
    assert values["an extra engine adds to a tick: engines, CPU"] == pytest.approx(20)
    assert values["an extra engine adds to a tick: Redis, CPU"] == pytest.approx(0)
    assert values["ticks/s reached: 4 engines : 1 engine"] == pytest.approx(1)
    assert len(report.plots) == 2


class Api:
    """Places every order, and refuses every third end of one."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            method = head.split(b" ")[0].decode()
            size = int(head.lower().partition(b"content-length:")[2].split()[0])
            body = await reader.readexactly(size)
            self.asked[method] += 1
            if method == "POST":
                assert json.loads(body)["type"] == "BUY_LIMIT"
            is_refused = method == "DELETE" and not self.asked[method] % 3
            content = b"no" if is_refused else b'{"order_id":7}'
            status = "409 Conflict" if is_refused else "200 OK"
            length = len(content)
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n".encode() + content
            )


async def test_traders_place_orders_and_end_them() -> None:
    api = Api()
    async with await asyncio.start_server(api, LOOPBACK) as server:
        traders = Traders(server.sockets[0].getsockname()[1], SECRET, 5)
        await traders.become(2)
        await eventually(lambda: traders.refused > 1)
        traders.failed()
        await traders.become(0)
        assert traders.commands >= 6
        assert traders.refusal == "DELETE /api/v1/orders/7: 409 no"
        assert traders.answered.count == traders.commands
        assert abs(api.asked["POST"] - api.asked["DELETE"]) <= 2
