"""`/readyz` of a running service: what it names, and what it says without Redis or PostgreSQL."""

import asyncio
import contextlib
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.storage.server_process import LOOPBACK
from tests.service_process import Service, environment
from tests.support import POLL_S, eventually

CHECKS = {"database", "lease", "writer", "feed", "redis"}


def readyz(service: Service) -> tuple[int, dict[str, Any]]:
    """Return the status and the body of the verbose answer."""
    port = service.environment["TAPEWATCH_OPS_PORT"]
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/readyz?verbose", timeout=5) as said:
            return said.status, json.load(said)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


async def answer(service: Service, status: int, state: str) -> dict[str, Any]:
    """Wait for an answer and return its checks."""
    checks: dict[str, Any] = {}

    def is_there() -> bool:
        found, body = readyz(service)
        checks.update(body["checks"])
        return (found, body["status"]) == (status, state)

    await eventually(is_there)
    return checks


@contextlib.contextmanager
def paused(service: Service, name: str) -> Iterator[None]:
    """Let an embedded server and its children answer nothing."""
    first = int((service.data_dir / name / "server.pid").read_text().split()[0])
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    pids = [first, *map(int, children)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


async def test_losing_redis_degrades_and_losing_postgresql_makes_unready(tmp_path: Path) -> None:
    service = Service(environment(tmp_path / "data"), tmp_path / "run.log")
    try:
        await service.ready()
        checks = await answer(service, 200, "ready")
        assert checks.keys() == CHECKS
        assert all(each["latency_s"] >= 0 and each["age_s"] >= 0 for each in checks.values())
        with paused(service, "valkey"):
            checks = await answer(service, 200, "degraded")
            assert not checks["redis"]["ok"]
            assert all(checks[name]["ok"] for name in CHECKS - {"redis"})
        await answer(service, 200, "ready")
        with paused(service, "postgres"):
            checks = await answer(service, 503, "not_ready")
            assert not checks["database"]["ok"]
        await answer(service, 200, "ready")
        service.process.send_signal(signal.SIGTERM)
        states = []
        while not service.has_ended:
            with contextlib.suppress(OSError):
                states.append(readyz(service)[1]["status"])
            await asyncio.sleep(POLL_S)
        assert set(states) <= {"ready", "shutting_down"}, states
    finally:
        with contextlib.suppress(ProcessLookupError):
            await service.stop()
