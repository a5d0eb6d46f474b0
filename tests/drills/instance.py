"""One `tapewatch serve` of a drill: a child that dies with the drill, on ports of its own."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from service.storage.server_process import LOOPBACK
from tests.service_process import COMMAND, ROOT, environment
from tests.support import ending_with_us, eventually

READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0
PROBE_TIMEOUT_S = 2.0
POLL_S = 0.1


class Instance:
    """A service process that can be hurt: stopped, continued, killed, started again."""

    def __init__(
        self, name: str, folder: Path, *, arguments: Sequence[str] = ("serve",), **settings: object
    ) -> None:
        """Prepare it: `settings` are of its environment, without their prefix."""
        self.name = name
        self._arguments = arguments
        self.environment = environment(folder / f"data-{name}", **settings)
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def api(self) -> str:
        return f"http://{LOOPBACK}:{self.environment['TAPEWATCH_PORT']}"

    @property
    def ops(self) -> str:
        """Host and port of the ops port."""
        return f"{LOOPBACK}:{self.environment['TAPEWATCH_OPS_PORT']}"

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def process_id(self) -> int:
        """Of the process that was started last."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process; it ends with this one, however that ends."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                ending_with_us(ROOT, [*COMMAND, *self._arguments]),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process and nobody else."""
        assert self._process is not None
        self._process.send_signal(number)

    @asynccontextmanager
    async def stopped(self) -> AsyncIterator[None]:
        """Keep the process from running, as a machine does that has too much to do."""
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)

    async def answers(self, path: str) -> int:
        """Return the status of the ops port's answer, 0 for none."""
        timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"http://{self.ops}{path}") as response,
            ):
                return response.status
        except (aiohttp.ClientError, TimeoutError):
            return 0

    async def ready(self) -> None:
        """Wait until it may be sent work. Raises TimeoutError, AssertionError."""
        async with asyncio.timeout(READY_TIMEOUT_S):
            while await self.answers("/readyz") != 200:
                assert self.is_running, self.log
                await asyncio.sleep(POLL_S)

    async def alive(self) -> None:
        """Wait until it answers at all: a standby is never ready."""
        async with asyncio.timeout(READY_TIMEOUT_S):
            while await self.answers("/livez") != 200:
                assert self.is_running, self.log
                await asyncio.sleep(POLL_S)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the process; one that does not is killed."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        try:
            await eventually(lambda: process.poll() is not None, STOP_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            process.wait()
