"""The service that is sent nonsense: a process of its own with its servers and the demo book.

Its limits on how often somebody may ask are lifted, or nearly all would be told just that. What it
takes of the machine is read from outside: a growth that does not end shows here first.
"""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from service.api.auth import Role, issue_token
from service.storage.server_process import LOOPBACK
from tests.service_process import Service, environment

SECRET = "a secret of the fuzzers, long enough to sign"
UNLIMITED_PER_S = 1_000_000
TOKEN_S = 600.0
TRADER = 1
GROUPS = ("standard", "gold", "raw")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SAMPLE = re.compile(r"^(\w+)(?:\{.*\})? (\S+)$", re.MULTILINE)


class Size(NamedTuple):
    """What a process has: memory in MiB, open files, client sockets and series of metrics."""

    memory_mib: float
    files: int
    sockets: int
    series: int


class Subject:
    """One service under attack."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.port = int(service.environment["TAPEWATCH_PORT"])
        self.ops = f"http://{LOOPBACK}:{service.environment['TAPEWATCH_OPS_PORT']}"
        self.url = f"http://{LOOPBACK}:{self.port}"

    def token(self, role: Role = Role.TRADER, account_id: int = TRADER) -> str:
        """Return a new token: those before may have been revoked meanwhile."""
        return issue_token(SECRET, account_id, role, TOKEN_S)

    def size(self, metrics: str) -> Size:
        """Return what the process has by now; `metrics` is what it exposes."""
        samples = _SAMPLE.findall(metrics)
        sockets = sum(float(v) for name, v in samples if name == "tapewatch_websocket_connections")
        files = len(list((self._process / "fd").iterdir()))
        return Size(self.memory_mib, files, int(sockets), len(samples))

    @property
    def memory_mib(self) -> float:
        """What the process has in memory now."""
        pages = int((self._process / "statm").read_text().split()[1])
        return pages * _PAGE_BYTES / 2**20

    @property
    def _process(self) -> Path:
        return Path("/proc") / str(self.service.process.pid)


@asynccontextmanager
async def subject(folder: Path) -> AsyncIterator[Subject]:
    """Start a service and yield it once it trades; stop it in the end."""
    rates = {
        f"{whose}_{what}_PER_S": UNLIMITED_PER_S
        for whose in ("ACCOUNT", "ADDRESS")
        for what in ("COMMANDS", "READS")
    }
    env = environment(folder / "data", JWT_SECRET=SECRET, LOG_FORMAT="json", **rates)
    service = Service(env, folder / "log")
    try:
        await service.ready()
        yield Subject(service)
    finally:
        await service.stop()
