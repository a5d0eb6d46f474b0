"""CPU time of the servers that this process has started, PostgreSQL and Valkey."""

import os
import time
from collections.abc import Collection
from pathlib import Path

SERVERS = ("postgres", "valkey-server")
_CPUCLOCK_SCHED = 2
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat after the name: see proc(5).
_PARENT, _USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM = 1, 11, 12, 13, 14


def process_cpu_s(process_id: int) -> float:
    """Return the CPU time of a process so far, to the nanosecond, without that of its children."""
    # The clock of another process: see clock_getcpuclockid(3), which Python has not.
    return time.clock_gettime(~process_id << 3 | _CPUCLOCK_SCHED)


def servers(names: Collection[str] = SERVERS) -> list[int]:
    """Return the ids of the processes of these servers."""
    return [process_id for process_id, _ in _servers(names)]


def servers_cpu_s(names: Collection[str] = SERVERS) -> float:
    """Return the CPU time of all of them so far, of those that ended too, in seconds."""
    total = 0
    for _, fields in _servers(names):
        total += int(fields[_USER]) + int(fields[_SYSTEM])
        total += int(fields[_CHILDREN_USER]) + int(fields[_CHILDREN_SYSTEM])
    return total / _TICKS_PER_S


def _servers(wanted: Collection[str]) -> list[tuple[int, list[str]]]:
    names: dict[int, str] = {}
    fields: dict[int, list[str]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text(encoding="utf-8")
        except OSError:
            continue  # it has ended meanwhile
        process_id = int(path.parent.name)
        before, _, after = text.rpartition(")")
        names[process_id] = before.partition("(")[2]
        fields[process_id] = after.split()
    parents = {process_id: int(each[_PARENT]) for process_id, each in fields.items()}
    return [
        (process_id, each)
        for process_id, each in fields.items()
        if names[process_id] in wanted and _descends(process_id, parents)
    ]


def _descends(process_id: int, parents: dict[int, int]) -> bool:
    own = os.getpid()
    while process_id in parents and process_id != own:
        process_id = parents[process_id]
    return process_id == own
