"""The dashboards are of the types that Grafana publishes, which refuse mistakes."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dashboards.files import FOLDER

SOURCES = Path(__file__).resolve().parents[2] / "schema"
COMPILERS = Path(__file__).resolve().parents[3] / ".tapewatch" / "schema"
INSTALL_TIMEOUT_S = 90.0
COMPILE_TIMEOUT_S = 60.0


def _compiler() -> Path:
    """Return a folder with the compiler and the types, as the lock has them; made once.

    Skips the test where they cannot be had, which under CI is a failure.
    """
    lock = (SOURCES / "package-lock.json").read_bytes()
    folder = COMPILERS / hashlib.sha256(lock).hexdigest()[:16]
    if (folder / "complete").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCES / name, folder)
    command = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    try:
        subprocess.run(
            command, cwd=folder, check=True, capture_output=True, timeout=INSTALL_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"the types of Grafana cannot be had: {error}")
    (folder / "complete").touch()
    return folder


def test_every_dashboard_is_of_grafanas_types_and_mistakes_are_not() -> None:
    folder = _compiler()
    for old in folder.glob("*.ts"):
        old.unlink()
    for source in SOURCES.glob("*.ts"):
        shutil.copy(source, folder)
    shutil.copy(SOURCES / "tsconfig.json", folder)
    for path in FOLDER.glob("*.json"):
        text = path.read_text(encoding="utf-8")
        (folder / f"{path.stem}.ts").write_text(
            "import type { Dashboard } from './dashboard';\n"
            f"export const generated: Dashboard = {text};\n",
            encoding="utf-8",
        )
    compiled = subprocess.run(
        ("node", "node_modules/typescript/bin/tsc", "--project", "."),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=COMPILE_TIMEOUT_S,
    )
    assert compiled.stdout + compiled.stderr == ""
    assert compiled.returncode == 0
