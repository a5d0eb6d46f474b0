"""`tapewatch status` against a service that is well, and then has no database."""

import asyncio
import re
import subprocess
from pathlib import Path

from tests.proxied import in_front_of, through
from tests.service_process import COMMAND, ROOT, START_TIMEOUT_S, Service, environment
from tests.support import POLL_S

LOOPS = {
    *("leadership", "publisher", "events", "price_writer", "prices", "feed"),
    *("pending_sweep", "positions_sweep", "reconciliation", "expiry", "rollover", "save_quotes"),
    *("retention",),
    *("runtime", "postgresql_state", "redis_state"),
}


async def status(env: dict[str, str]) -> tuple[int, list[str], str]:
    """Return the exit code, the lines printed, and the errors."""
    result = await asyncio.to_thread(
        subprocess.run,
        [*COMMAND, "status"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
        check=False,
    )
    return result.returncode, result.stdout.splitlines(), result.stderr


async def status_with(env: dict[str, str], code: int, pattern: str) -> list[str]:
    """Ask until the exit code is this and a line matches."""
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            found, lines, _ = await status(env)
            if found == code and any(re.search(pattern, line) for line in lines):
                return lines
            await asyncio.sleep(POLL_S)


async def test_it_tells_who_is_well_who_fails_and_who_recovered(
    tmp_path: Path, services: list[Service], postgres_dsn: str, redis_url: str
) -> None:
    async with in_front_of(postgres_dsn) as proxy:
        env = environment(
            tmp_path / "data",
            DATABASE_URL=through(proxy, postgres_dsn),
            REDIS_URL=redis_url,
            JWT_SECRET="x" * 40,
        )
        service = Service(env, tmp_path / "run.log")
        services.append(service)
        # Not `service.ready()`: that would hold up the proxy, which runs in this very loop.
        lines = await status_with(env, 0, r"save_quotes +idle")
        assert lines[0].startswith("READY (")
        assert {line.split()[0] for line in lines[3:]} >= LOOPS

        await proxy.cut()
        lines = await status_with(env, 1, r"^! +save_quotes .* Unreachable: ")
        assert lines[0].startswith("NOT READY (database FAILS: ")
        assert "tapewatch:" not in "\n".join(lines), "no password"

        await proxy.restore()
        lines = await status_with(env, 0, r"save_quotes .* \(over, it took .*\) Unreachable: ")
        assert not any(line.startswith("!") for line in lines)


async def test_what_does_not_run_says_how_to_start_it(tmp_path: Path) -> None:
    env = environment(tmp_path / "data", JWT_SECRET="x" * 40)
    code, lines, errors = await status(env)
    assert (code, lines) == (2, [])
    assert errors.startswith("tapewatch: nothing answers at 127.0.0.1:")
    assert "start the service" in errors
    assert errors.count("\n") == 1
