"""One child process that serves a data directory.

Linux only. Invariants:
- At most one owner per data directory: a lock on `lock` lives as long as the owning process.
- The child dies with the thread that started it, also by SIGKILL, so it is started by the main
  thread only; it then gets the server's own signal for a fast, clean shutdown.
- A child that outlived a crash is told by its process id together with its start time, and is
  stopped before a new one starts. No other process is ever signalled.
- Start and stop end within their timeouts; what does not stop is killed.

Below `data_dir`: `data/` (the server's, owned by the user it runs as), `server.log` of this run
and `server.log.1` of the last, `server.pid`, `lock`.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from loguru import logger

from service.storage.server_binaries import RunAs
from service.storage.server_errors import DataDirInUse, EmbeddedError, ServerFailed

LOOPBACK = "127.0.0.1"
POLL_S = 0.02
KILL_TIMEOUT_S = 5.0
LOG_TAIL_BYTES = 2_000
CHILD_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do it, so that closed connections of the last run do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def start_ticks(pid: int) -> int | None:
    """Return when a living process started, in clock ticks since boot, None if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


class ServerProcess:
    """Owns a data directory and the server process in it."""

    def __init__(self, name: str, data_dir: Path, *, stop_signal: signal.Signals) -> None:
        self.name = name
        self.data_dir = data_dir.resolve()
        self.log_path = self.data_dir / "server.log"
        self._pid_path = self.data_dir / "server.pid"
        self._stop_signal = stop_signal
        self._child: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """The server's process id. Raises EmbeddedError when it was not started."""
        if self._child is None:
            raise EmbeddedError(f"{self.name} was not started")
        return self._child.pid

    def acquire(self) -> None:
        """Take the data directory, made if need be. Raises DataDirInUse, EmbeddedError."""
        if sys.platform != "linux":
            raise EmbeddedError(f"the embedded {self.name} needs Linux: use a server of your own")
        if threading.current_thread() is not threading.main_thread():
            raise EmbeddedError(f"{self.name} must be started by the main thread, it dies with it")
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.data_dir / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise EmbeddedError(
                f"{self.name} cannot keep data in {self.data_dir} ({error.strerror}): choose a "
                "data directory that this user can write to"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip()
            lock.close()
            raise DataDirInUse(self.data_dir, owner) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def release(self) -> None:
        """Give the data directory back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def command(self, user: RunAs, directory: Path, argv: Sequence[str]) -> list[str]:
        """Return the command that runs `argv` in `directory`, as `user`, bound to our life."""
        uid, gid = (user.uid, user.gid) if user.dropped else (-1, -1)
        launcher = Path(__file__).with_name("exec_server.py")
        numbers = (os.getpid(), uid, gid, int(self._stop_signal))
        head = [sys.executable, "-I", "-S", str(launcher), *map(str, numbers)]
        return [*head, str(directory), *argv]

    def spawn(self, command: Sequence[str], *, configuration: bytes = b"") -> None:
        """Start the server, its output in the log and `configuration` on its standard input."""
        if self.log_path.exists():
            self.log_path.replace(self.log_path.with_name("server.log.1"))
        with self.log_path.open("wb") as log:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=CHILD_ENVIRONMENT,
                # Ctrl-C at a terminal is for us; we stop the server when we are done with it.
                start_new_session=True,
            )
        self._pid_path.write_text(f"{self._child.pid} {start_ticks(self._child.pid)}")
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._child.stdin as stdin:
            stdin.write(configuration)

    async def run(self, command: Sequence[str], *, pass_fds: tuple[int, ...]) -> None:
        """Run a program to its end, its output in the log. Raises ServerFailed on its failure."""
        with self.log_path.open("wb") as log:
            child = await asyncio.create_subprocess_exec(
                *command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=CHILD_ENVIRONMENT,
                pass_fds=pass_fds,
                start_new_session=True,
            )
        try:
            code = await child.wait()
        except asyncio.CancelledError:
            child.kill()
            raise
        if code != 0:
            raise self.failure(f"could not make its data directory (exit {code})")

    def failure(self, what: str) -> ServerFailed:
        """Return the error for a server that is not as it should be."""
        log = self.log_path.read_bytes() if self.log_path.exists() else b""
        tail = log[-LOG_TAIL_BYTES:].decode(errors="replace")
        return ServerFailed(f"{self.name} {what}", self.log_path, tail.strip())

    async def stop(self, timeout_s: float) -> None:
        """Stop the server; one that takes longer than `timeout_s` is killed. Stopped is fine."""
        child = self._child
        if child is None:
            return
        self._child = None
        try:
            if child.poll() is None:
                # A stopped (SIGSTOP) server would not see its signal.
                child.send_signal(signal.SIGCONT)
                child.send_signal(self._stop_signal)
                if not await _until(lambda: child.poll() is not None, timeout_s):
                    logger.error("{} did not stop in {} s: killing it", self.name, timeout_s)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait(KILL_TIMEOUT_S)
        self._pid_path.unlink(missing_ok=True)

    async def stop_leftover(self, timeout_s: float) -> None:
        """Stop the server that a crashed owner of this directory left behind, if it still runs.

        Raises EmbeddedError when it cannot be stopped.
        """
        try:
            pid, ticks = map(int, self._pid_path.read_text(encoding="utf-8").split())
        except (OSError, ValueError):
            return

        def gone() -> bool:
            return start_ticks(pid) != ticks

        for number, patience_s in (
            (self._stop_signal, timeout_s),
            (signal.SIGKILL, KILL_TIMEOUT_S),
        ):
            if gone():
                break
            logger.warning("stopping process {}, left behind in {}", pid, self.data_dir)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, number)
            await _until(gone, patience_s)
        else:
            if not gone():
                raise EmbeddedError(f"process {pid}, left behind in {self.data_dir}, won't stop")
        self._pid_path.unlink(missing_ok=True)


async def _until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Poll until `condition` holds; return whether it did within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True
