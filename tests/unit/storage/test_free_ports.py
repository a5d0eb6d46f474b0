"""Ports that nobody else is given."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.storage import free_ports
from service.storage.free_ports import BLOCK, PortBlock, claim_block, free_port
from service.storage.server_errors import NoFreePort
from service.storage.server_process import LOOPBACK

Claim = Callable[[], PortBlock]


@pytest.fixture
def claim() -> Iterator[Claim]:
    """Claim blocks, and release them in the end."""
    blocks: list[PortBlock] = []

    def claim() -> PortBlock:
        blocks.append(claim_block())
        return blocks[-1]

    yield claim
    for block in blocks:
        block.release()


def bind_all_of(block: PortBlock, bound: dict[int, socket.socket]) -> None:
    while True:
        port = block.take()
        bound[port] = socket.socket()
        bound[port].bind((LOOPBACK, port))


def test_a_port_can_be_bound_and_is_not_given_again() -> None:
    ports = [free_port() for _ in range(20)]
    assert len(set(ports)) == len(ports)
    for port in ports:
        with socket.socket() as server:
            server.bind((LOOPBACK, port))


def test_no_two_blocks_share_a_port(claim: Claim) -> None:
    mine, other = claim(), claim()
    assert not {mine.take() for _ in range(BLOCK)} & {other.take() for _ in range(BLOCK)}


def test_another_process_is_given_others() -> None:
    mine = {free_port() for _ in range(20)}
    script = "from service.storage.free_ports import *; print(*(free_port() for _ in range(20)))"
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    theirs = set(map(int, said.stdout.split()))
    assert len(theirs) == 20
    assert not mine & theirs


def test_what_is_bound_is_passed_over_until_all_is(claim: Claim) -> None:
    block = claim()
    bound: dict[int, socket.socket] = {}
    try:
        # Maybe not all of the block: the last owner's closed connections may linger on some.
        with pytest.raises(NoFreePort, match=r"no port from \d+ to \d+ on") as all_are:
            bind_all_of(block, bound)
        first, last = (int(word) for word in str(all_are.value).split() if word.isdecimal())
        assert last - first == BLOCK - 2
        assert set(bound) <= set(range(first, last + 1))
        port, freed = bound.popitem()
        freed.close()
        given = {block.take() for _ in range(BLOCK)}
        assert port in given
        assert given.isdisjoint(bound)
    finally:
        for each in bound.values():
            each.close()


@pytest.mark.parametrize(("low", "high"), [(32_768, 60_999), (15_000, 65_000), (1_024, 40_000)])
def test_they_are_not_those_of_the_kernel(
    low: int, high: int, claim: Claim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(free_ports, "KERNELS", tmp_path / "range")
    free_ports.KERNELS.write_text(f"{low}\t{high}\n", encoding="ascii")
    assert all(not low <= claim().take() <= high for _ in range(5))


def test_where_the_kernel_takes_all_of_them_any_do(
    claim: Claim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(free_ports, "KERNELS", tmp_path / "range")
    free_ports.KERNELS.write_text("1024\t65535\n", encoding="ascii")
    assert claim().take() > 0
