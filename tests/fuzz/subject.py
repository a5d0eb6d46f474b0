"""The service that is sent nonsense: one process that is all of it, or one of each role.

Its servers are its own, and the book is the demo's. Its limits on how often somebody may ask are
lifted, or nearly all would be told just that. What its processes take of the machine is read from
outside: a growth that does not end shows here first.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from service.api.auth import Role, issue_token
from service.demo import open_demo
from service.roles import ServiceRole
from service.storage.embedded import EmbeddedPostgres, EmbeddedValkey
from service.storage.server_process import LOOPBACK
from tests.service_process import Service, environment

SECRET = "a secret of the fuzzers, long enough to sign"
UNLIMITED_PER_S = 1_000_000
TOKEN_S = 600.0
TRADER = 1
GROUPS = ("standard", "gold", "raw")
APART = (ServiceRole.FEED, ServiceRole.ENGINE, ServiceRole.GATEWAY)
SHARDS = 4
ENDED = "the process has ended"
FAILURES = ('"level":"ERROR"', '"level":"CRITICAL"', ENDED)
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SAMPLE = re.compile(r"^(\w+)(?:\{.*\})? (\S+)$", re.MULTILINE)


class Size(NamedTuple):
    """What the processes have: memory in MiB by role; of the one that answers, the rest.

    Attributes:
        files: open files.
        sockets: streams of clients.
        series: series of metrics.
    """

    memory_mib: Mapping[ServiceRole, float]
    files: int
    sockets: int
    series: int

    def __str__(self) -> str:
        memory = ", ".join(f"{role} {mib:.0f}" for role, mib in self.memory_mib.items())
        return f"{memory} MiB, {self.files} files, {self.sockets} sockets, {self.series} series"


class Subject:
    """One service under attack."""

    def __init__(self, services: Mapping[ServiceRole, Service]) -> None:
        self._services = services
        self._door = next(each for role, each in services.items() if role.answers)
        self.port = int(self._door.environment["TAPEWATCH_PORT"])
        self.ops = f"http://{LOOPBACK}:{self._door.environment['TAPEWATCH_OPS_PORT']}"
        self.url = f"http://{LOOPBACK}:{self.port}"

    def token(self, role: Role = Role.TRADER, account_id: int = TRADER) -> str:
        """Return a new token: those before may have been revoked meanwhile."""
        return issue_token(SECRET, account_id, role, TOKEN_S)

    def failures(self) -> list[str]:
        """Return what went wrong in the processes: who has ended, and errors they logged."""
        return [
            f"{role}: {line}"
            for role, each in self._services.items()
            for line in (*[ENDED] * each.has_ended, *each.log.splitlines())
            if any(sign in line for sign in FAILURES)
        ]

    def size(self, metrics: str) -> Size:
        """Return what the processes have by now; `metrics` is what the one that answers exposes."""
        samples = _SAMPLE.findall(metrics)
        sockets = sum(float(v) for name, v in samples if name == "tapewatch_websocket_connections")
        files = len(list(_process(self._door).joinpath("fd").iterdir()))
        return Size(self.memory_mib(), files, int(sockets), len(samples))

    def memory_mib(self) -> dict[ServiceRole, float]:
        """Return what each process has in memory now. Raises OSError: one has ended."""
        return {
            role: int(_process(each).joinpath("statm").read_text().split()[1]) * _PAGE_BYTES / 2**20
            for role, each in self._services.items()
        }


def _process(service: Service) -> Path:
    return Path("/proc") / str(service.process.pid)


@asynccontextmanager
async def subject(folder: Path, role: ServiceRole = ServiceRole.ALL) -> AsyncIterator[Subject]:
    """Start a service and yield it once it trades; stop it in the end.

    With `GATEWAY` that process answers, and a feed and an engine of their own do the rest.
    """
    async with AsyncExitStack() as stack:
        settings: dict[str, object] = {"LOG_FORMAT": "json"} | {
            f"{whose}_{what}_PER_S": UNLIMITED_PER_S
            for whose in ("ACCOUNT", "ADDRESS")
            for what in ("COMMANDS", "READS")
        }
        commands = {ServiceRole.ALL: "run"}
        if role is ServiceRole.GATEWAY:
            postgres = EmbeddedPostgres(folder / "postgres", durable=False)
            valkey = EmbeddedValkey(folder / "valkey")
            await stack.enter_async_context(postgres)
            await stack.enter_async_context(valkey)
            await open_demo(postgres.dsn)
            settings |= {"DATABASE_URL": postgres.dsn, "REDIS_URL": valkey.url, "SHARDS": SHARDS}
            commands = {each: f"serve --role {each}" for each in APART}
        services: dict[ServiceRole, Service] = {}
        for each, command in commands.items():
            secret = SECRET if each.answers else None
            env = environment(folder / f"data-{each}", **settings, JWT_SECRET=secret)
            services[each] = Service(env, folder / f"log-{each}", command)
            stack.push_async_callback(services[each].stop)
        await asyncio.gather(*(each.ready() for each in services.values()))
        yield Subject(services)
