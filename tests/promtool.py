"""`promtool`: that of this machine, or Debian's, unpacked into a folder of the test."""

import shutil
import subprocess
from pathlib import Path

DOWNLOAD_TIMEOUT_S = 60.0


def find_promtool(folder: Path) -> Path | None:
    """Return the program, None where there is none and none is to be had."""
    found = shutil.which("promtool")
    if found is not None:
        return Path(found)
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return None
    try:
        _run(folder, "apt-get", "download", "prometheus")
        (package,) = folder.glob("prometheus_*.deb")
        _run(folder, "dpkg", "-x", str(package), str(folder))
    except (subprocess.SubprocessError, ValueError):
        return None
    program = folder / "usr" / "bin" / "promtool"
    return program if program.exists() else None


def complaints(program: Path, text: str) -> str:
    """Return what `promtool check metrics` says against a text, "" for nothing."""
    result = subprocess.run(
        [program, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60
    )
    said = result.stdout + result.stderr
    return said or ("" if result.returncode == 0 else f"exit code {result.returncode}")


def _run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=DOWNLOAD_TIMEOUT_S)
