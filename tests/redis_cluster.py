"""A cluster of real Valkey servers on loopback: masters, each with a replica if asked for."""

import asyncio
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from service.storage.redis_servers import SLOTS
from service.storage.server_binaries import VALKEY, programs, run_as
from tests.support import ending_with_us, free_port

NODE_TIMEOUT_MS = 1_000


class Server:
    """One node of a cluster."""

    def __init__(self, port: int, bus: int, command: list[str]) -> None:
        self.port = port
        self.bus = bus  # the port that the nodes talk to each other on
        self._command = command
        self.start()

    def start(self) -> None:
        """Start it, or start it again: it remembers the cluster, and nothing else."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

    async def ask(self, *command: str | int) -> Any:
        """Return the answer to a command, text as text."""
        client = Redis(port=self.port, retry=Retry(NoBackoff(), 0), decode_responses=True)
        try:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]
        finally:
            await client.aclose()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class RunningCluster:
    """Its masters in the order of their slots, then a replica of each, if there are any."""

    def __init__(self, servers: list[Server], masters: int) -> None:
        self.servers = servers
        self.masters = servers[:masters]
        self.replicas = servers[masters:]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{each.port}" for each in self.servers)

    async def move(self, slot: int, to: int) -> None:
        """Give an empty slot to another master, and let all know."""
        owner = await self.masters[to].ask("CLUSTER", "MYID")
        # Who says it last is believed, and what the former owner said may be on its way still.
        await self.masters[to].ask("CLUSTER", "BUMPEPOCH")
        for each in [self.masters[to], *self.servers]:
            await each.ask("CLUSTER", "SETSLOT", slot, "NODE", owner)


@contextmanager
def running_cluster(masters: int = 3, *, replicas: bool = False) -> Iterator[RunningCluster]:
    """Run a cluster that has all its slots, and its replicas in step, when the block begins."""
    servers: list[Server] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for _ in range(masters * (1 + replicas)):
                servers.append(_start(Path(folder)))
            # A loop of its own: the cluster may outlive the test that it is started for.
            with ThreadPoolExecutor(1) as pool:
                pool.submit(asyncio.run, _join(servers, masters)).result()
            yield RunningCluster(servers, masters)
        finally:
            for each in servers:
                each.kill()


def _start(folder: Path) -> Server:
    port, bus = free_port(), free_port()
    program = next(programs(VALKEY, run_as(folder)).glob("_binaries/linux-*/valkey-server"))
    (folder / str(port)).mkdir()
    command = [
        str(program),
        *("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder / str(port))),
        *("--cluster-enabled", "yes", "--cluster-port", str(bus)),
        *("--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
        *("--cluster-require-full-coverage", "no"),
        *("--save", "", "--repl-diskless-sync-delay", "0"),
    ]
    return Server(port, bus, ending_with_us(folder, command))


async def _join(servers: list[Server], masters: int) -> None:
    for server in servers:
        await _until(server, bool, "PING")
    share = SLOTS // masters
    for number, server in enumerate(servers):
        if number < masters:
            last = SLOTS - 1 if number == masters - 1 else (number + 1) * share - 1
            await server.ask("CLUSTER", "ADDSLOTSRANGE", number * share, last)
        await server.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        await servers[0].ask("CLUSTER", "MEET", "127.0.0.1", server.port, server.bus)
    for server in servers:
        await _until(server, lambda said: _knows(said) == len(servers), "CLUSTER", "NODES")
    for server, master in zip(servers[masters:], servers, strict=False):
        await server.ask("CLUSTER", "REPLICATE", await master.ask("CLUSTER", "MYID"))
    for server in servers:
        await _until(server, lambda said: "cluster_state:ok" in said, "CLUSTER", "INFO")
    for server in servers[masters:]:
        await _until(
            server, lambda said: said.get("master_link_status") == "up", "INFO", "replication"
        )


def _knows(said: str) -> int:
    """Return how many nodes a node has met."""
    return sum("handshake" not in line for line in said.splitlines())


async def _until(server: Server, holds: Callable[[Any], bool], *command: str) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                if holds(await server.ask(*command)):
                    return
            except (RedisError, OSError):
                pass
            await asyncio.sleep(0.02)
