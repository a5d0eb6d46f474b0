"""PostgreSQL and Valkey as children of the service, each in a directory of its own.

For a machine that has nothing installed: the programs come from Python wheels. Both listen on
loopback TCP only and ask for a password, kept in `password` in the data directory and readable by
its owner alone, because other users of a machine reach its loopback too. PostgreSQL is durable
(fsync, checksums) unless told otherwise and restarts on its own data; Valkey keeps a cache and
events, so it keeps nothing over a restart. `server_process.py` has the rules on their lives.

Limits: Linux; one server a data directory; start from the main thread, from any event loop.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from service.storage.free_ports import free_port
from service.storage.server_binaries import POSTGRES, VALKEY, RunAs, programs, run_as
from service.storage.server_errors import PortInUse
from service.storage.server_process import (
    LOOPBACK,
    POLL_S,
    ServerProcess,
    port_is_free,
)

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
PING_TIMEOUT_S = 2.0

DATABASE = "tapewatch"
ROLE = "tapewatch"

POSTGRES_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "250",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}
# For servers whose data nobody will want back: tests.
POSTGRES_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB"}

VALKEY_SETTINGS = {
    "bind": LOOPBACK,
    "save": '""',
    "appendonly": "no",
    "maxmemory": "512mb",
    "maxmemory-policy": "allkeys-lru",
}


class EmbeddedServer:
    """What both servers share: a port, a password, a start and a stop."""

    name: str
    port_setting: str
    url_setting: str
    stop_signal: signal.Signals

    def __init__(self, data_dir: Path, port: int | None = None) -> None:
        """Serve from `data_dir` on `port`; None takes a free one at the first start."""
        self.port = port
        self.process = ServerProcess(self.name, data_dir, stop_signal=self.stop_signal)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.process.data_dir)!r}, port={self.port})"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start and wait until the server answers; a stopped one starts again on its port.

        Raises PortInUse, DataDirInUse, ServerFailed and other EmbeddedErrors.
        """
        self.process.acquire()
        try:
            await self.process.stop_leftover(STOP_TIMEOUT_S)
            if self.port is None:
                self.port = free_port()
            if not port_is_free(self.port):
                raise PortInUse(self.name, self.port, self.port_setting, self.url_setting)
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._serve(run_as(self._data))
        except TimeoutError:
            failure = self.process.failure(f"was not ready within {START_TIMEOUT_S:g} s")
            await self.stop()
            raise failure from None
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop the server within `STOP_TIMEOUT_S`, by force if need be. A stopped one stays so."""
        try:
            await self.process.stop(STOP_TIMEOUT_S)
        finally:
            self.process.release()

    async def _serve(self, user: RunAs) -> None:
        raise NotImplementedError

    @property
    def _data(self) -> Path:
        return self.process.data_dir / "data"

    @property
    def _password(self) -> str:
        """Return this data directory's password, made at the first start."""
        path = self.process.data_dir / "password"
        if not path.exists():
            with contextlib.suppress(FileExistsError):
                draft = path.with_name("password.new")
                draft.unlink(missing_ok=True)
                draft.touch(mode=0o600)
                draft.write_text(secrets.token_urlsafe(24), encoding="ascii")
                draft.rename(path)
        return path.read_text(encoding="ascii")

    def _make_directory(self, path: Path, user: RunAs) -> None:
        """Make an empty directory that only `user` can enter."""
        path.mkdir(mode=0o700)
        os.chown(path, user.uid, user.gid)

    async def _wait_ready(self, ping: Callable[[], Awaitable[bool]]) -> None:
        """Wait for the first answer. Raises ServerFailed when the server ends instead."""
        while not await ping():
            if not self.process.running:
                if self.port and not port_is_free(self.port):
                    raise PortInUse(self.name, self.port, self.port_setting, self.url_setting)
                raise self.process.failure("ended while it started")
            await asyncio.sleep(POLL_S)


class EmbeddedPostgres(EmbeddedServer):
    """A PostgreSQL 18 of our own."""

    name = "PostgreSQL"
    port_setting = "TAPEWATCH_DATABASE_PORT"
    url_setting = "TAPEWATCH_DATABASE_URL"
    stop_signal = signal.SIGINT  # "fast": rolls back what is open, then a checkpoint

    def __init__(self, data_dir: Path, port: int | None = None, *, durable: bool = True) -> None:
        """Serve from `data_dir`; `durable=False` may lose everything in a crash of the machine."""
        super().__init__(data_dir, port)
        self._settings = POSTGRES_SETTINGS | ({} if durable else POSTGRES_NOT_DURABLE)
        self._durable = durable

    @property
    def dsn(self) -> str:
        """The connection string of the database `tapewatch`, with the password: don't log it."""
        return self.dsn_of(DATABASE)

    def dsn_of(self, database: str) -> str:
        """Return the connection string of a database on this server, as its superuser."""
        return f"postgresql://{ROLE}:{self._password}@{LOOPBACK}:{self.port}/{database}"

    async def _serve(self, user: RunAs) -> None:
        bin_dir = await asyncio.to_thread(programs, POSTGRES, user) / "pginstall" / "bin"
        if not self._data.exists():
            await self._initialise(user, bin_dir)
        settings = self._settings | {"port": str(self.port)}
        options = [word for item in settings.items() for word in ("-c", "=".join(item))]
        argv = [str(bin_dir / "postgres"), "-D", "/proc/self/cwd", *options]
        command = self.process.command(user, self._data, argv)
        while True:
            self._disown_postmaster_pid()
            self.process.spawn(command)
            try:
                await self._wait_ready(self._ping)
            except Exception as error:
                # Back ends of a killed postmaster let go of its memory a moment after it.
                if "pre-existing shared memory" not in str(error):
                    raise
                await asyncio.sleep(POLL_S)
            else:
                break
        await self._create_database()

    async def _initialise(self, user: RunAs, bin_dir: Path) -> None:
        """Make a new cluster, whole or not at all."""
        draft = self._data.with_name("data.new")
        shutil.rmtree(draft, ignore_errors=True)
        self._make_directory(draft, user)
        with tempfile.TemporaryFile() as password:
            password.write(self._password.encode())
            password.flush()
            os.fchown(password.fileno(), user.uid, user.gid)
            argv = [str(bin_dir / "initdb"), "-D", "/proc/self/cwd", "-U", ROLE]
            argv += ["--auth=scram-sha-256", f"--pwfile=/proc/self/fd/{password.fileno()}"]
            argv += ["--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums", "--no-instructions"]
            argv += [] if self._durable else ["--no-sync"]
            command = self.process.command(user, draft, argv)
            await self.process.run(command, pass_fds=(password.fileno(),))
        draft.rename(self._data)
        folder = os.open(self.process.data_dir, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _disown_postmaster_pid(self) -> None:
        """Make a stale `postmaster.pid` name us, its parent.

        We own the directory and no server runs in it, but the number in the file may by now be
        another process's, for which PostgreSQL would refuse to start. It passes over its parent's
        number, and still checks for back ends that are attached to the old memory.
        """
        path = self._data / "postmaster.pid"
        if path.exists():
            rest = path.read_text(encoding="utf-8").partition("\n")[2]
            path.write_text(f"{os.getpid()}\n{rest}", encoding="utf-8")

    async def _ping(self) -> bool:
        try:
            connection = await asyncpg.connect(self.dsn_of("postgres"), timeout=PING_TIMEOUT_S)
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError):
            return False
        await connection.close()
        return True

    async def _create_database(self) -> None:
        connection = await asyncpg.connect(self.dsn_of("postgres"), timeout=START_TIMEOUT_S)
        try:
            found = "SELECT 1 FROM pg_database WHERE datname = $1"
            if await connection.fetchval(found, DATABASE) is None:
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()


class EmbeddedValkey(EmbeddedServer):
    """A Valkey 9 of our own."""

    name = "Valkey"
    port_setting = "TAPEWATCH_REDIS_PORT"
    url_setting = "TAPEWATCH_REDIS_URL"
    stop_signal = signal.SIGTERM

    @property
    def url(self) -> str:
        """The connection string, with the password: don't log it."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    async def _serve(self, user: RunAs) -> None:
        package = await asyncio.to_thread(programs, VALKEY, user)
        program = next(package.glob("_binaries/linux-*/valkey-server"))
        settings = VALKEY_SETTINGS | {"port": str(self.port), "requirepass": self._password}
        if not self._data.exists():
            self._make_directory(self._data, user)
        # By standard input, since a command line can be read by every user of the machine.
        configuration = "".join(f"{key} {value}\n" for key, value in settings.items())
        command = self.process.command(user, self._data, [str(program), "-"])
        self.process.spawn(command, configuration=configuration.encode())
        await self._wait_ready(self._ping)

    async def _ping(self) -> bool:
        client = redis.asyncio.Redis.from_url(
            self.url, socket_timeout=PING_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
        )
        try:
            return bool(await client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        finally:
            await client.aclose()
