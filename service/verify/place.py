"""Which database a command looks into: the one the settings name, or the embedded one.

An embedded one that a service runs is asked where it is; one that is stopped is started for as long
as the command takes, on a free port.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from service.settings import Settings
from service.storage.embedded import DATABASE, ROLE, EmbeddedPostgres
from service.storage.server_errors import DataDirInUse
from service.storage.server_process import LOOPBACK
from service.verify.fault import NoBook

_PORT_LINE = 3  # of PostgreSQL's postmaster.pid


@asynccontextmanager
async def open_book(settings: Settings) -> AsyncIterator[str]:
    """Yield the DSN of the service's database; it contains a password.

    Raises:
        NoBook: no DSN is set, and no embedded database was ever started in the data directory.
        EmbeddedError: the embedded database cannot be started.
    """
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    folder = settings.data_dir / "postgres"
    if not (folder / "data").exists():
        raise NoBook(
            f"there is no database in {settings.data_dir}: set TAPEWATCH_DATABASE_URL or "
            "TAPEWATCH_DATA_DIR to those of the service"
        )
    async with AsyncExitStack() as stack:
        try:
            dsn = (await stack.enter_async_context(EmbeddedPostgres(folder))).dsn
        except DataDirInUse:
            dsn = _running_dsn(folder)
        yield dsn


def _running_dsn(folder: Path) -> str:
    """Return the DSN of an embedded database that another process has started."""
    try:
        port = (folder / "data" / "postmaster.pid").read_text().splitlines()[_PORT_LINE]
        password = (folder / "password").read_text(encoding="ascii")
    except (OSError, IndexError) as error:
        raise NoBook(
            f"the database in {folder} is being started or stopped, or belongs to another user "
            f"({error}): try again, as the user that runs the service"
        ) from error
    return f"postgresql://{ROLE}:{password}@{LOOPBACK}:{int(port)}/{DATABASE}"
