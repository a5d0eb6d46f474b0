"""`tapewatch run` and `serve` as processes: starts, stops, restarts, and what they refuse."""

import asyncio
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import asyncpg
import pytest

from service.storage.server_process import LOOPBACK
from tests.service_process import (
    COMMAND,
    ROOT,
    START_TIMEOUT_S,
    STOP_TIMEOUT_S,
    Service,
    environment,
)
from tests.support import POLL_S, eventually, free_port

NOBODY = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

pytestmark = pytest.mark.timeout(600)


def command(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
        check=False,
    )


def refusal(*arguments: str, env: dict[str, str]) -> str:
    """Run a command that must refuse: exit code 2 and a message, no traceback."""
    result = command(*arguments, env=env)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    message = result.stderr.partition("tapewatch: ")[2]
    assert message, result.stderr
    return message


async def query(service: Service, statement: str) -> object:
    """Ask the service's own database; one that is starting is waited for."""
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            try:
                connection = await asyncpg.connect(database_dsn(service), timeout=10)
                break
            except (OSError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(POLL_S)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def database_dsn(service: Service) -> str:
    password = (service.data_dir / "postgres" / "password").read_text()
    port = service.environment["TAPEWATCH_DATABASE_PORT"]
    return f"postgresql://tapewatch:{password}@{LOOPBACK}:{port}/tapewatch"


async def test_it_starts_again_on_its_own_data(tmp_path: Path, services: list[Service]) -> None:
    env = environment(tmp_path / "data")
    codes = []
    for attempt, last_breath in enumerate((signal.SIGTERM, signal.SIGKILL, signal.SIGINT)):
        service = Service(env, tmp_path / f"run{attempt}.log")
        services.append(service)
        await service.ready()
        # The demo book is opened once: what came first stays.
        orders = await query(service, "SELECT count(*) FROM orders WHERE client_order_id LIKE 'o%'")
        assert orders == 200
        secret = (tmp_path / "data" / "jwt-secret").read_text()
        codes.append(await service.stop(last_breath))
    assert codes == [0, -signal.SIGKILL, 0]
    assert (tmp_path / "data" / "jwt-secret").read_text() == secret
    assert "epoch 3" in service.log


async def test_it_keeps_its_secrets(tmp_path: Path, services: list[Service]) -> None:
    env = environment(tmp_path / "data", LOG_LEVEL="DEBUG")
    service = Service(env, tmp_path / "run.log")
    services.append(service)
    await service.ready()
    token = command("token", env=env).stdout.strip()
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", token)
    os.kill(service.server_pids()[0], signal.SIGKILL)  # so that there are errors to log
    await eventually(lambda: "PostgreSQL has died" in service.log)
    await service.ready()
    await service.stop()
    for name in ("jwt-secret", "postgres/password", "valkey/password"):
        path = tmp_path / "data" / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text() not in service.log
    assert token not in service.log


async def test_an_embedded_server_that_dies_is_started_again(
    tmp_path: Path, services: list[Service]
) -> None:
    service = Service(environment(tmp_path / "data"), tmp_path / "run.log")
    services.append(service)
    await service.ready()
    before = service.server_pids()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    await eventually(
        lambda: "Valkey has died" in service.log and "PostgreSQL has died" in service.log
    )

    def are_new() -> bool:
        now = service.server_pids()
        return len(now) == len(before) and not set(before) & set(now)

    await eventually(are_new, START_TIMEOUT_S)
    assert await query(service, "SELECT count(*) FROM accounts") == 22
    await service.ready()
    assert await service.stop() == 0


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("PORT", "the API cannot listen there"),
        ("OPS_PORT", "the ops port cannot listen there"),
        ("DATABASE_PORT", "PostgreSQL cannot listen there"),
        ("REDIS_PORT", "Valkey cannot listen there"),
    ],
)
def test_a_busy_port_is_named_with_its_setting(tmp_path: Path, setting: str, what: str) -> None:
    with socket.socket() as busy:
        busy.bind((LOOPBACK, 0))
        busy.listen()
        port = busy.getsockname()[1]
        env = environment(tmp_path / "data", **{setting: port})
        message = refusal("run", env=env)
    assert message.count("\n") == 1, "one line"
    assert f"port {port} on {LOOPBACK} is in use, {what}" in message
    assert f"set TAPEWATCH_{setting} to a free port" in message
    assert not list((tmp_path / "data").glob("*/server.pid")), "a server was left running"


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    message = refusal("run", env=environment(tmp_path / "data", HOST="192.0.2.1"))
    assert "the API cannot listen on 192.0.2.1:" in message
    assert "set TAPEWATCH_HOST and TAPEWATCH_PORT" in message


async def test_a_second_run_on_the_same_data_is_refused(
    tmp_path: Path, services: list[Service]
) -> None:
    service = Service(environment(tmp_path / "data"), tmp_path / "run.log")
    services.append(service)
    await service.ready()
    message = refusal("run", env=environment(tmp_path / "data"))
    assert f"is in use by process {service.process.pid}: stop that process" in message
    assert "TAPEWATCH_DATA_DIR" in message
    assert service.status("/readyz") == 200
    assert await service.stop() == 0


def test_serve_makes_nothing_up(tmp_path: Path) -> None:
    message = refusal("serve", env=environment(tmp_path / "data"))
    for name in ("JWT_SECRET", "DATABASE_URL", "REDIS_URL"):
        assert f"TAPEWATCH_{name}: must be set to serve" in message
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "dsn", ["postgresql://tapewatch:hidden@127.0.0.1:{port}/x", "postgresql://[hidden"]
)
def test_a_database_that_does_not_answer_is_named(tmp_path: Path, dsn: str) -> None:
    env = environment(
        tmp_path / "data",
        DATABASE_URL=dsn.format(port=free_port()),
        REDIS_URL="redis://127.0.0.1:1/0",
        JWT_SECRET="x" * 32,
    )
    message = refusal("serve", env=env)
    assert "TAPEWATCH_DATABASE_URL" in message
    assert "hidden" not in message


async def test_serve_serves_from_named_servers(
    tmp_path: Path, services: list[Service], postgres_dsn: str, redis_url: str
) -> None:
    env = environment(
        tmp_path / "data", DATABASE_URL=postgres_dsn, REDIS_URL=redis_url, JWT_SECRET="x" * 40
    )
    first = Service(env, tmp_path / "run.log")  # opens the demo book
    services.append(first)
    await first.ready()
    assert not (tmp_path / "data").exists()
    # Another one on the same servers waits, and takes over when the first is gone.
    ports = {f"TAPEWATCH_{name}": str(free_port()) for name in ("PORT", "OPS_PORT")}
    second = Service(env | ports, tmp_path / "serve.log", "serve")
    services.append(second)
    await eventually(lambda: "waiting as a standby" in second.log, START_TIMEOUT_S)
    assert second.status("/readyz") == 503
    assert "prices are made up" in second.log
    first.process.terminate()
    await second.ready()
    second.process.terminate()
    await eventually(lambda: first.has_ended and second.has_ended, STOP_TIMEOUT_S)
    assert (first.process.returncode, second.process.returncode) == (0, 0)


def test_bad_settings_are_reported_together(tmp_path: Path) -> None:
    env = environment(
        tmp_path / "data",
        PORT="eighty",
        FEED="websocket",
        FEED_RATE="0",
        REDIS_URL="http://:hidden@cache",
        JWT_SECRET="hidden",
    )
    message = refusal("run", env=env)
    for name in ("PORT", "FEED_RATE", "FEED_URL", "REDIS_URL", "JWT_SECRET"):
        assert f"TAPEWATCH_{name}: " in message
    assert "hidden" not in message


def test_a_token_needs_a_service_that_has_run(tmp_path: Path) -> None:
    message = refusal("token", env=environment(tmp_path / "data"))
    assert "start the service first" in message
    assert not (tmp_path / "data").exists()


def test_watching_where_nothing_runs_says_so(tmp_path: Path) -> None:
    env = environment(tmp_path / "data", JWT_SECRET="x" * 32)
    message = refusal("watch", env=env)
    assert f"nothing answers at {LOOPBACK}:{env['TAPEWATCH_PORT']}" in message


@AS_ROOT
async def test_it_runs_as_an_ordinary_user(services: list[Service]) -> None:
    if not _may_run(Path(sys.executable), ROOT / "service"):
        pytest.skip("another user cannot reach this checkout")
    folder = Path(tempfile.mkdtemp())
    try:
        home = folder / "home"
        home.mkdir(mode=0o700)
        os.chown(home, NOBODY, NOBODY)
        folder.chmod(0o755)
        service = Service(environment(home / "data"), folder / "run.log", user=NOBODY)
        services.append(service)
        await service.ready()
        assert (home / "data" / "jwt-secret").stat().st_uid == NOBODY
        assert await service.stop() == 0
    finally:
        shutil.rmtree(folder)


def _may_run(*paths: Path) -> bool:
    """Tell whether an ordinary user may read and enter all of these."""
    script = "import sys, os; sys.exit(not all(os.access(each, os.R_OK) for each in sys.argv[1:]))"
    try:
        done = subprocess.run(
            [sys.executable, "-c", script, *map(str, paths)],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            cwd="/",
            check=False,
        )
    except PermissionError:
        return False
    return done.returncode == 0
