"""Prometheus, promtool, Alertmanager and amtool: those on PATH, or Debian's, never installed.

Debian's packages are fetched by `apt-get download` (signatures checked, as any user) and unpacked
into a folder. Nothing outside it changes: no user, no service, no configuration, and package lists,
where the machine's are missing or too old, are the folder's own.

Invariants:
- The folder holds all of an unpacked set or none of it, whoever else unpacks at once or is killed.
- What is there is not fetched again.
- Debian's programs look for their web pages and standard templates below `/usr/share`, where a
  package that is only unpacked has none, and Alertmanager sends nothing without them. The unpacked
  programs have that path made relative, so they must run in `Programs.folder`.
"""

import fcntl
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

PROMETHEUS_VERSION = (2, 42)  # the first with keep_firing_for
ALERTMANAGER_VERSION = (0, 25)
PACKAGES = ("prometheus", "prometheus-alertmanager")
PAGE_PACKAGES = (
    "libjs-bootstrap4",
    "libjs-d3",
    "libjs-eonasdan-bootstrap-datetimepicker",
    "libjs-jquery",
    "libjs-jquery-hotkeys",
    "libjs-moment",
    "libjs-mustache",
    "libjs-popper.js",
    "libjs-rickshaw",
)
"""What Debian's pages of Prometheus are made of: not needed but to look at them."""
COMMAND_TIMEOUT_S = 120.0
LOCK_TIMEOUT_S = 300.0
LOCK_POLL_S = 0.1
ABSOLUTE = b"/usr/share/prometheus/"
RELATIVE = b"usr//share/prometheus/"
ADVICE = (
    "install Prometheus {}.{} or later and Alertmanager {}.{} or later, with promtool and amtool, "
    "and have them on PATH"
).format(*PROMETHEUS_VERSION, *ALERTMANAGER_VERSION)


class ProgramsMissing(Exception):
    """The programs are not here and are not to be had; the message says what to do."""


class Programs(NamedTuple):
    """Where the programs are. The two servers run with `folder` as their working directory."""

    prometheus: Path
    promtool: Path
    alertmanager: Path
    amtool: Path
    folder: Path


def find_programs(folder: Path) -> Programs:
    """Return the programs; where PATH has none, fetch and unpack Debian's into `folder` once.

    Blocks for some seconds when it fetches.

    Raises:
        ProgramsMissing: there are none, or only older ones, and none to be had.
    """
    here = _on_path()
    if here is not None:
        return here
    folder = folder.resolve()
    unpacked = folder / "debian"
    if not unpacked.exists():
        _fetch(folder, unpacked)
    binaries = unpacked / "usr" / "bin"
    programs = Programs(
        prometheus=binaries / "prometheus",
        promtool=binaries / "promtool",
        alertmanager=binaries / "prometheus-alertmanager",
        amtool=binaries / "amtool",
        folder=unpacked,
    )
    _check_versions(programs)
    return programs


def _on_path() -> Programs | None:
    """Return what PATH has, if that is all four and they are new enough."""
    prometheus, promtool, amtool = map(shutil.which, ("prometheus", "promtool", "amtool"))
    alertmanager = shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")
    if prometheus is None or promtool is None or alertmanager is None or amtool is None:
        return None
    programs = Programs(
        Path(prometheus), Path(promtool), Path(alertmanager), Path(amtool), Path("/")
    )
    try:
        _check_versions(programs)
    except ProgramsMissing:
        return None
    return programs


def _check_versions(programs: Programs) -> None:
    wanted = (
        (programs.prometheus, PROMETHEUS_VERSION),
        (programs.promtool, PROMETHEUS_VERSION),
        (programs.alertmanager, ALERTMANAGER_VERSION),
        (programs.amtool, ALERTMANAGER_VERSION),
    )
    for program, lowest in wanted:
        said = _run(program.parent, str(program), "--version")
        version = re.search(r"version (\d+)\.(\d+)", said)
        if version is None or (int(version[1]), int(version[2])) < lowest:
            raise ProgramsMissing(f"{program} is not new enough ({said.strip()[:80]}): {ADVICE}")


def _fetch(folder: Path, unpacked: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise ProgramsMissing(f"this machine has no apt-get and dpkg to fetch them with: {ADVICE}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProgramsMissing(
            f"cannot make {folder} ({error.strerror}): choose a folder that this user can write to"
        ) from error
    with _locked(folder / "lock"):
        if unpacked.exists():
            return
        for draft in folder.glob("unpacking-*"):  # of a process that was killed
            shutil.rmtree(draft)
        with tempfile.TemporaryDirectory(dir=folder, prefix="unpacking-") as name:
            draft = Path(name)
            tree = draft / "tree"
            _download(draft, PACKAGES)
            with suppress(ProgramsMissing):  # other releases may name them differently
                _download(draft, PAGE_PACKAGES)
            for package in draft.glob("*.deb"):
                _run(draft, "dpkg", "-x", str(package), str(tree))
            for program in ("prometheus", "prometheus-alertmanager"):
                _make_relative(tree / "usr" / "bin" / program)
            tree.rename(unpacked)


def _download(folder: Path, packages: Sequence[str]) -> None:
    """Fetch packages by the machine's package lists, or where that fails by lists of today."""
    # As root, apt would fetch as a user who may not write here, and say so.
    quiet = ("-qq", "-o", "APT::Sandbox::User=root")
    try:
        _run(folder, "apt-get", *quiet, "download", *packages)
    except ProgramsMissing:
        for part in ("state/lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        own = (
            *quiet,
            *("-o", f"Dir::State={folder / 'state'}"),
            *("-o", "Dir::State::status=/var/lib/dpkg/status"),
            *("-o", f"Dir::Cache={folder / 'cache'}"),
        )
        _run(folder, "apt-get", *own, "update")
        _run(folder, "apt-get", *own, "download", *packages)


def _make_relative(program: Path) -> None:
    """Let a program look below its working directory for what it would look for in /usr/share."""
    code = program.read_bytes()
    program.write_bytes(code.replace(ABSOLUTE, RELATIVE))


def _run(folder: Path, *command: str) -> str:
    """Return what a command prints. Raises ProgramsMissing where it fails."""
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProgramsMissing(f"`{' '.join(command)}` did not work ({error}): {ADVICE}") from error
    said = result.stdout + result.stderr
    if result.returncode != 0:
        raise ProgramsMissing(f"`{' '.join(command)}` failed: {said.strip()}\nElse {ADVICE}")
    return said


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with this process. Raises ProgramsMissing after `LOCK_TIMEOUT_S`."""
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    with path.open("a", encoding="utf-8") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ProgramsMissing(
                        f"another process has been unpacking for {LOCK_TIMEOUT_S:.0f} s and holds "
                        f"{path}: end it, then try again"
                    ) from None
                time.sleep(LOCK_POLL_S)
        yield
