"""A replay as its own process behind a fault proxy, to be killed and resumed."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.faultproxy import FaultProxy, Moment, Trap
from tests.support import eventually

# Every event of a batch carries this in the bytes of its commit, and nothing else does.
EVENT = b'"kind":"'
COMMITTED_REPLY = b"committed"
_TRADING = b"trading under epoch"
_COMMAND = (sys.executable, "-c", "import sys; from service.cli import main; sys.exit(main())")


class ReplayProcess:
    """One run of `tapewatch replay`."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def has_ended(self) -> bool:
        return self._process.returncode is not None

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def has_resumed(self) -> bool:
        return "resuming the interrupted replay" in self.log

    async def trading(self) -> None:
        """Wait until it feeds ticks, or has ended."""
        await eventually(lambda: self.has_ended or _TRADING in self._log.read_bytes())

    async def caught(self, trap: Trap) -> bool:
        """Wait until it stands in a trap (True) or has ended (False)."""
        await eventually(lambda: self.has_ended or trap.has_sprung)
        return trap.has_sprung

    async def kill(self) -> bool:
        """Send SIGKILL; False: it had ended by itself."""
        if self.has_ended:
            return False
        self._process.kill()
        await self._process.wait()
        return self._process.returncode != 0

    async def exit_code(self) -> int:
        return await self._process.wait()

    async def summary(self) -> dict[str, Any]:
        """Wait for the end and return the line of JSON it prints."""
        out, _ = await self._process.communicate()
        assert self._process.returncode == 0, self.log
        summary: dict[str, Any] = json.loads(out)
        return summary


class ReplayCommand:
    """The same command again and again: scenario, servers and output are fixed."""

    def __init__(self, scenario: Path, deals: Path, dsn: str, redis_url: str) -> None:
        self.deals = deals
        self._arguments = ("replay", str(scenario), "--deals", str(deals))
        self._environment = os.environ | {
            "TAPEWATCH_DATABASE_URL": dsn,
            "TAPEWATCH_REDIS_URL": redis_url,
        }
        self._runs = 0

    @asynccontextmanager
    async def run(self) -> AsyncIterator[ReplayProcess]:
        """Start it; what still runs at the end of the block is killed."""
        self._runs += 1
        log = self.deals.with_name(f"{self.deals.stem}-{self._runs}.log")
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *_COMMAND,
                *self._arguments,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=self._environment,
            )
        replay = ReplayProcess(process, log)
        try:
            yield replay
        finally:
            await replay.kill()

    async def finish(self) -> dict[str, Any]:
        """Run it to its end; return its summary."""
        async with self.run() as replay:
            return await replay.summary()


def arm_commit(proxy: FaultProxy, moment: Moment, skip: int) -> Trap:
    """Set a trap on the commit of the event after `skip` others."""
    return proxy.arm(EVENT, moment, skip=skip, reply=COMMITTED_REPLY)
