"""CPU time of the servers that this process has started, PostgreSQL and Valkey."""

import os
from collections.abc import Collection
from pathlib import Path

SERVERS = ("postgres", "valkey-server")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat after the name: see proc(5).
_PARENT, _USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM = 1, 11, 12, 13, 14


def servers_cpu_s(servers: Collection[str] = SERVERS) -> float:
    """Return the CPU time of all of them so far, of those that ended too, in seconds."""
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
    total = 0
    for process_id, each in fields.items():
        if names[process_id] in servers and _descends(process_id, parents):
            total += int(each[_USER]) + int(each[_SYSTEM])
            total += int(each[_CHILDREN_USER]) + int(each[_CHILDREN_SYSTEM])
    return total / _TICKS_PER_S


def _descends(process_id: int, parents: dict[int, int]) -> bool:
    own = os.getpid()
    while process_id in parents and process_id != own:
        process_id = parents[process_id]
    return process_id == own
