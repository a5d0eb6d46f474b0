"""The README's walk-through, done as it is written: its shell blocks in bash, on free ports.

A comment before a block names the terminal it is typed into, and what another one must have shown
before. Only ports and the data directory are replaced.
"""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.monitoring import programs
from tests.support import eventually, free_port

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 120.0
STEP_TIMEOUT_S = 300.0
MAX_REPEATS = 10
OURS = ("walk-up", "walk-down")
_BLOCK = re.compile(
    r"<!-- walk-through: (?P<terminal>\w+)(?:, once (?P<other>\w+) shows (?P<sight>.+?))? -->\n"
    r"```sh\n(?P<text>.*?)```",
    re.DOTALL,
)

pytestmark = pytest.mark.timeout(900)


class Block(NamedTuple):
    terminal: str
    other: str | None
    sight: str | None
    text: str


class Terminal:
    """A bash whose input is typed by the test."""

    def __init__(self, folder: Path, name: str, environment: dict[str, str]) -> None:
        self._screen = folder / f"{name}.txt"
        self._blocks = 0
        with self._screen.open("wb") as screen:
            self._bash = subprocess.Popen(
                # Whoever runs the tests in the background may have Ctrl-C ignored for all of them.
                ["env", "--default-signal=INT", "bash"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=screen,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def shown(self) -> str:
        return self._screen.read_text(encoding="utf-8", errors="replace")

    @property
    def has_ended(self) -> bool:
        return self._bash.poll() is not None

    def type(self, text: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(text.encode())
        self._bash.stdin.flush()

    async def run(self, text: str) -> str:
        """Type a block, wait until it is done, and return what it has shown."""
        self._blocks += 1
        done = f"--- block {self._blocks} done"
        before = len(self.shown)
        self.type(f"{text}\necho {shlex.quote(done)}\n")
        await self.sees(re.escape(done))
        return self.shown[before:].partition(done)[0]

    async def sees(self, pattern: str, timeout_s: float = STEP_TIMEOUT_S) -> None:
        with contextlib.suppress(TimeoutError):
            await eventually(
                lambda: re.search(pattern, self.shown) is not None or self.has_ended, timeout_s
            )
        assert re.search(pattern, self.shown), f"never shown: {pattern}\n{self.shown[-4000:]}"

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.killpg(self._bash.pid, signal.SIGINT)

    def leave(self) -> None:
        """Close it with all it runs."""
        assert self._bash.stdin is not None
        self._bash.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.wait()


@pytest.fixture
def blocks(tmp_path: Path) -> list[Block]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    webhook = free_port()
    for written, replacement in (
        ("make monitor\n", f"make monitor ARGS='{_monitor_arguments(tmp_path, webhook)}'\n"),
        ("127.0.0.1:9095", f"127.0.0.1:{webhook}"),
        ("127.0.0.1:8080", f"127.0.0.1:{free_port()}"),
        ("127.0.0.1:9464", f"127.0.0.1:{free_port()}"),
        (".tapewatch/", f"{tmp_path / 'data'}/"),
        (".venv/bin/", f"{Path(sys.executable).parent}/"),
    ):
        assert written in text
        text = text.replace(written, replacement)
    return [
        Block(*match.group("terminal", "other", "sight", "text")) for match in _BLOCK.finditer(text)
    ]


@pytest.fixture
def terminals(tmp_path: Path, blocks: list[Block]) -> Iterator[dict[str, Terminal]]:
    text = "".join(block.text for block in blocks)
    ports = re.findall(r"127\.0\.0\.1:(\d+)", text)
    installed = tmp_path / "installed"
    installed.touch()
    # Neither the settings of whoever runs the tests, nor what a make around us told us.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TAPEWATCH_") and name not in ("MAKELEVEL", "MFLAGS")
    }
    environment |= {
        # The environment that runs the tests is the one installed: nothing to set up.
        "MAKEFLAGS": f"BIN={Path(sys.executable).parent} STAMP={installed}",
        "TAPEWATCH_OPS_PORT": ports[0],
        "TAPEWATCH_PORT": next(port for port in ports if port != ports[0]),
        "TAPEWATCH_DATABASE_PORT": str(free_port()),
        "TAPEWATCH_REDIS_PORT": str(free_port()),
        "TAPEWATCH_DATA_DIR": str(tmp_path / "data"),
    }
    names = dict.fromkeys(block.terminal for block in blocks)
    terminals = {name: Terminal(tmp_path, name, environment) for name in names}
    yield terminals
    for terminal in reversed(terminals.values()):
        terminal.leave()


async def test_the_walk_through_works_as_written(
    blocks: list[Block], terminals: dict[str, Terminal], tmp_path: Path
) -> None:
    names = ("service", "commands", "watch", "monitor")
    service, commands, watch, monitor = (terminals[name] for name in names)
    seen = ""
    for block in blocks:
        if block.sight is not None:
            assert block.other is not None
            await terminals[block.other].sees(block.sight)
        if block.terminal == "commands":
            output = await _run_as_told(commands, block)
            assert "urn:tapewatch:problem" not in output, f"{block.text}\n{output}"
            assert not re.search(r"Traceback|\| ERROR ", output), f"{block.text}\n{output}"
            seen += output
        else:
            terminals[block.terminal].type(block.text)
            if block.terminal == "service":
                await service.sees("trading under epoch", START_TIMEOUT_S)

    assert '{"status":"ready"' in seen
    assert re.search(r"^tapewatch_quotes_total [1-9]", seen, re.MULTILINE)
    assert re.search(r'^tapewatch_orders_closed_total\{reason="CLIENT"\} 1', seen, re.MULTILINE)
    assert re.search(r'^tapewatch_triggers_total\{trigger="(BUY|SELL)_STOP"\} [1-9]', seen, re.M)
    assert '"ledger_balanced": true' in seen
    assert '"missed_triggers": 0' in seen
    assert seen.count('"balance":"10250.00"') == 2, "the deposit was made once, answered twice"
    assert '"before":{"trading_state":"halted"},"after":{"trading_state":"active"}' in seen

    ours = [event for event in _orders(watch.shown) if event["order"]["client_order_id"] in OURS]
    kinds = [event["kind"] for event in ours]
    assert kinds[:3] == ["PLACED", "PLACED", "OPENED"]
    assert ours[2]["deal"]["reason"] in ("BUY_STOP", "SELL_STOP")
    assert "CLOSED" in kinds
    assert "CANCELLED" in kinds

    assert "<title>Tapewatch / PostgreSQL</title>" in seen
    assert seen.count("# TapewatchDatabaseDown\n") == 1
    assert '{"status":"not_ready","checks":{"database":{"ok":false' in seen
    assert '{"status":"ready"' in seen.partition('"status":"not_ready"')[2]
    assert set(re.findall(r"FIRING +(?:critical|warning) +(\w+)", monitor.shown)) == {
        "TapewatchDatabaseDown"
    }
    monitor.interrupt()
    await eventually(lambda: monitor.has_ended)
    assert "Traceback" not in monitor.shown

    watch.interrupt()
    service.interrupt()
    await eventually(lambda: service.has_ended)
    assert "stopping" in service.shown
    assert "Traceback" not in service.shown
    assert not list((tmp_path / "data").glob("*/server.pid")), "a server was left running"


def _monitor_arguments(folder: Path, webhook: int) -> str:
    """Return a monitor's ports and folder, where the programs are that the tests have."""
    own = folder / "monitoring"
    own.mkdir()
    unpacked = programs().folder
    if unpacked != Path("/"):
        (own / unpacked.name).symlink_to(unpacked)
    ports = f"--prometheus-port {free_port()} --alertmanager-port {free_port()}"
    return f"--folder {own} {ports} --webhook-port {webhook}"


async def _run_as_told(commands: Terminal, block: Block) -> str:
    """Run a block; again where the market was faster, which the README says to do."""
    for _ in range(MAX_REPEATS):
        output = await commands.run(block.text)
        if "WRONG_SIDE_OF_MARKET" not in output:
            return output
    raise AssertionError(f"the market was always faster: {output}")


def _orders(shown: str) -> list[dict[str, Any]]:
    """Return the order messages that a stream has shown."""
    messages = [json.loads(line) for line in shown.splitlines() if line.startswith("{")]
    return [message for message in messages if message["type"] == "order"]
