"""Loopback TCP ports that nobody else is given while this process lives.

A port that was found free and let go is anybody's until its server binds it: of another process
that looks for one, or of the kernel for an outgoing connection. A process therefore claims a block
of ports, whose first one it keeps bound to the end, and gives out the others one after the other.

Invariants: blocks lie outside the ports that the kernel takes for outgoing connections, where it
leaves any; a port is given again only after all others of the block, and only while it is free.
Limits: Linux; `BLOCK` - 1 ports in use at a time; a process that forks must not go on in both.
"""

import random
import socket
from functools import cache
from pathlib import Path

from service.storage.server_errors import NoFreePort
from service.storage.server_process import LOOPBACK

FIRST, LAST = 10_000, 65_535
BLOCK = 200
KERNELS = Path("/proc/sys/net/ipv4/ip_local_port_range")


class PortBlock:
    """A block of ports that this process has claimed."""

    def __init__(self, first: int, claim: socket.socket) -> None:
        self._first = first
        self._claim = claim  # bound as long as the block is ours
        self._given = 0

    def take(self) -> int:
        """Return the next port that nothing is bound to. Raises NoFreePort."""
        for _ in range(BLOCK - 1):
            port = self._first + 1 + self._given % (BLOCK - 1)
            self._given += 1
            if (probe := _bound(port)) is not None:
                probe.close()
                return port
        raise NoFreePort(self._first + 1, self._first + BLOCK - 1)

    def release(self) -> None:
        """Leave the block to others."""
        self._claim.close()


def claim_block() -> PortBlock:
    """Claim a block that no other process has, and keep it. Raises NoFreePort."""
    firsts = range(FIRST, LAST - BLOCK + 2, BLOCK)
    low, high = map(int, KERNELS.read_text(encoding="ascii").split())
    outside = [first for first in firsts if first + BLOCK <= low or first > high]
    candidates = outside or list(firsts)
    # At random, so that a block that was just given up rests.
    for first in random.sample(candidates, len(candidates)):
        if (claim := _bound(first)) is not None:
            return PortBlock(first, claim)
    raise NoFreePort(candidates[0], candidates[-1] + BLOCK - 1)


@cache
def _own_block() -> PortBlock:
    return claim_block()


def free_port() -> int:
    """Return a loopback TCP port that nothing is bound to and that is given to nobody else.

    Raises NoFreePort.
    """
    return _own_block().take()


def _bound(port: int) -> socket.socket | None:
    """Return a socket bound to a port, None where that is in use."""
    bound = socket.socket()
    try:
        bound.bind((LOOPBACK, port))
    except OSError:
        bound.close()
        return None
    return bound
