"""`tapewatch run` and `serve` as processes of their own, on free ports."""

import contextlib
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from service.storage.server_process import LOOPBACK, start_ticks
from tests.support import ending_with_us, eventually, free_port

ROOT = Path(__file__).resolve().parents[1]
COMMAND = (sys.executable, "-c", "import sys; from service.cli import main; sys.exit(main())")
OURS = ("TAPEWATCH_", "OTEL_")
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0


def environment(data_dir: Path, **settings: object) -> dict[str, str]:
    """Return an environment with free ports, and without the settings of whoever runs the tests."""
    ports = ("PORT", "OPS_PORT", "DATABASE_PORT", "REDIS_PORT")
    chosen = {"DATA_DIR": data_dir} | {name: free_port() for name in ports} | settings
    kept = {name: text for name, text in os.environ.items() if not name.startswith(OURS)}
    return kept | {
        f"TAPEWATCH_{name}": str(value) for name, value in chosen.items() if value is not None
    }


class Service:
    """One `tapewatch run` or `serve`, of any role, its output in a file."""

    def __init__(
        self, environment: dict[str, str], log: Path, command: str = "run", user: int | None = None
    ) -> None:
        self.environment = environment
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                ending_with_us(ROOT, [*COMMAND, *command.split()]),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def data_dir(self) -> Path:
        return Path(self.environment["TAPEWATCH_DATA_DIR"])

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def status(self, path: str) -> int:
        """Return the status of the ops port's answer, 0 for none."""
        address = f"http://{LOOPBACK}:{self.environment['TAPEWATCH_OPS_PORT']}{path}"
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def read(self, path: str) -> str:
        """Return what the ops port answers. Raises OSError: nothing good."""
        address = f"http://{LOOPBACK}:{self.environment['TAPEWATCH_OPS_PORT']}{path}"
        with urllib.request.urlopen(address, timeout=5) as answer:
            return str(answer.read(), "utf-8")

    async def ready(self) -> None:
        await eventually(lambda: self.status("/readyz") == 200 or self.has_ended, START_TIMEOUT_S)
        assert not self.has_ended, self.log

    def server_pids(self) -> list[int]:
        """Return the embedded servers that run; one that is being started again is not there."""
        pids = []
        for name in ("postgres", "valkey"):
            with contextlib.suppress(FileNotFoundError):
                pids.append(int((self.data_dir / name / "server.pid").read_text().split()[0]))
        return pids

    def kill(self) -> None:
        """End it at once, if it has not ended, and its embedded servers with it."""
        self.process.kill()
        self.process.wait()

    async def stop(self, signal_number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code, once the embedded servers are gone too.

        Raises TimeoutError: it did not end, and was killed.
        """
        servers = self.server_pids()
        self.process.send_signal(signal_number)
        try:
            await eventually(lambda: self.has_ended, STOP_TIMEOUT_S)
        except TimeoutError:
            self.kill()
            raise
        await eventually(lambda: all(start_ticks(pid) is None for pid in servers), STOP_TIMEOUT_S)
        return int(self.process.returncode)
