"""A program that answers HTTP on loopback, as a child of this process.

Linux only. Invariants:
- The child dies with the thread that started it, also by SIGKILL, so the main thread starts it.
- Start and stop end within their timeouts; what does not stop is killed. No other process is ever
  signalled.
- Its output is in `log_path`, that of the last run only.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import aiohttp

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
KILL_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_S = 30.0
POLL_S = 0.02
LOG_TAIL_BYTES = 2_000
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


class MonitorError(Exception):
    """A part of the monitor cannot be started or has failed; the message says why."""


class Refused(Exception):
    """A server answered that a request is wrong, with its own words."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do it, so that closed connections of the last run do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


class Server(ABC):
    """One server; `async with` starts it, waits until it is ready, and stops it.

    Args:
        name: what people call it.
        folder: for its data, configuration and log; made if need be.
        port: to listen on.
    """

    def __init__(self, name: str, folder: Path, port: int) -> None:
        self.name = name
        self.folder = folder.resolve()
        self.port = port
        self.log_path = self.folder / f"{name}.log"
        self._child: subprocess.Popen[bytes] | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """The process id. Raises MonitorError when it was not started."""
        if self._child is None:
            raise MonitorError(f"{self.name} was not started")
        return self._child.pid

    @abstractmethod
    def command(self) -> list[str]:
        """Write the configuration and return the program with its arguments."""

    @abstractmethod
    def working_directory(self) -> Path:
        """Return where the program runs."""

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises MonitorError with the end of its log."""
        if threading.current_thread() is not threading.main_thread():
            raise MonitorError(f"{self.name} must be started by the main thread, it dies with it")
        if not port_is_free(self.port):
            raise MonitorError(
                f"port {self.port} on {LOOPBACK} is in use, {self.name} cannot listen there: end "
                "what does, or choose another port"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        launcher = Path(__file__).with_name("exec_child.py")
        numbers = (str(os.getpid()), str(int(signal.SIGTERM)))
        head = [sys.executable, "-I", "-S", str(launcher), *numbers, str(self.working_directory())]
        command = [*head, *self.command()]
        with self.log_path.open("wb") as log:
            self._child = _spawn(command, log)
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        self._session = aiohttp.ClientSession(self.url, timeout=timeout)
        try:
            await self._ready(self._session)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop it; one that takes longer than `STOP_TIMEOUT_S` is killed. Stopped is fine."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        child, self._child = self._child, None
        if child is None:
            return
        try:
            if child.poll() is None:
                child.send_signal(signal.SIGCONT)  # a stopped one would not see the next
                child.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while child.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait(KILL_TIMEOUT_S)

    async def get(self, path: str, **parameters: str) -> Any:
        """Return the JSON at a path of the API. Raises Refused, aiohttp.ClientError."""
        async with self._open_session().get(path, params=parameters) as answer:
            return await _json(answer)

    async def post(self, path: str, body: Any) -> Any:
        """Send JSON and return the answer's. Raises Refused, aiohttp.ClientError."""
        async with self._open_session().post(path, json=body) as answer:
            return await _json(answer)

    def failure(self, what: str) -> MonitorError:
        """Return the error for a server that is not as it should be."""
        log = self.log_path.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return MonitorError(f"{self.name} {what}; the end of {self.log_path}:\n{log}")

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise MonitorError(f"{self.name} was not started")
        return self._session

    async def _ready(self, session: aiohttp.ClientSession) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            if not self.running:
                raise self.failure("ended at once")
            try:
                async with session.get("/-/ready") as answer:
                    if answer.status == 200 and self.running:
                        return
            except aiohttp.ClientError:
                pass  # it does not listen yet
            if time.monotonic() > deadline:
                raise self.failure(f"was not ready within {START_TIMEOUT_S:.0f} s")
            await asyncio.sleep(POLL_S)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()


def _spawn(command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=ENVIRONMENT,
        # Ctrl-C at a terminal is for us; we stop the server when we are done with it.
        start_new_session=True,
    )


async def _json(answer: aiohttp.ClientResponse) -> Any:
    if answer.status >= 400:
        raise Refused(answer.status, await answer.text())
    if answer.content_type != "application/json":
        return await answer.text()
    return await answer.json()
