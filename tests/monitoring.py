"""The programs of Prometheus and Alertmanager for the tests, unpacked once for all of them."""

import functools
import os
import subprocess
from pathlib import Path

import pytest

from alerts.monitor.binaries import Programs, ProgramsMissing, find_programs

FOLDER = Path(__file__).resolve().parents[1] / ".tapewatch" / "monitoring"


@functools.cache
def programs() -> Programs:
    """Return the programs; skip the test where none are to be had, which under CI is a failure."""
    try:
        return find_programs(FOLDER)
    except ProgramsMissing as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


def complaints(text: str) -> str:
    """Return what `promtool check metrics` says against a text, "" for nothing."""
    result = subprocess.run(
        [programs().promtool, "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = result.stdout + result.stderr
    return said or ("" if result.returncode == 0 else f"exit code {result.returncode}")
