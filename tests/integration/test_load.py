"""`tapewatch load` against a real service: what it counts adds up, and it leaves nothing behind.

No latency is judged here.
"""

import asyncio
import json
import subprocess
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.api.auth import Role, issue_token
from service.storage.server_process import LOOPBACK
from tests.service_process import COMMAND, ROOT, Service, environment
from tests.support import eventually, free_port

pytestmark = pytest.mark.timeout(300)

SOCKETS = 8
TIMEOUT_S = 120.0


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    url = f"ws://{LOOPBACK}:{free_port()}"
    settings = environment(tmp_path / "data", FEED="websocket", FEED_URL=url)
    service = Service(settings, tmp_path / "service.log")
    try:
        yield service
    finally:
        await service.stop()


async def load(environment: dict[str, str], *options: str) -> tuple[int, str, str]:
    """Run the command; return its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "load",
        *options,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(TIMEOUT_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_what_it_counts_adds_up_and_nothing_stays_behind(service: Service) -> None:
    options = ("--ticks", "300", "--commands", "50", "--sockets", str(SOCKETS))
    await eventually(lambda: service.status("/livez") == 200 or service.has_ended)
    code, out, err = await load(
        service.environment, *options, "--burst", "4", "--seconds", "6", "--json"
    )
    assert code == 0, err + service.log
    *intervals, total = map(json.loads, out.splitlines())
    assert {each["kind"] for each in intervals} == {"interval"}
    for name in ("ticks", "commands", "fired", "dips", "quotes_taken"):
        assert sum(each[name] for each in intervals) == total[name] > 0
    assert total["ticks_held_back"] == total["quotes_refused"] == 0
    answers: dict[str, int] = total["answers"]
    assert answers["OK"] > 0
    assert not answers.keys() & {"INTERNAL", "VALIDATION_FAILED", "INVALID_PRICE"}
    assert total["sockets"] == SOCKETS
    assert total["lost"] == {}
    _check_latencies(total)
    for account_id in range(1, SOCKETS + 1):
        ids = [each["client_order_id"] or "" for each in live_orders(service, account_id)]
        assert not [each for each in ids if each.startswith("load-")]


def live_orders(service: Service, account_id: int) -> list[dict[str, Any]]:
    """Ask the service which orders of an account live."""
    secret = (service.data_dir / "jwt-secret").read_text(encoding="ascii")
    token = issue_token(secret, account_id, Role.TRADER, 60)
    request = urllib.request.Request(
        f"http://{LOOPBACK}:{service.environment['TAPEWATCH_PORT']}/api/v1/orders"
        "?status=pending,open&limit=200",
        headers={"Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        orders: list[dict[str, Any]] = json.load(answer)["orders"]
    return orders


def _check_latencies(total: dict[str, Any]) -> None:
    latencies = total["latencies"]
    assert latencies["command to answer"]["count"] == sum(total["answers"].values())
    assert latencies["tick to quotes pushed"]["count"] == total["messages"]["quotes"]
    pushed = [latencies[f"{each} pushed"]["count"] for each in ("tick to fill", "command to event")]
    assert 0 < sum(pushed) <= total["messages"]["order"]
    assert total["service"]["tick to commit"]["count"] >= total["fired"]
    for each in latencies.values():
        assert 0 <= each["p50_ms"] <= each["p90_ms"] <= each["p99_ms"] <= each["max_ms"]
