"""The stores further away: fault proxies in a process of their own that hold back what passes.

Run as `python -m tests.bench.delays PORT...`. It prints the ports of its proxies, in the order of
the ports they lead to; then it answers each line on stdin, seconds that every chunk is held back
on its way there and again on its way back, with an empty line. It ends with its stdin.

An event loop wakes by the millisecond, as epoll does: `MicrosecondSelector` does by the
microsecond, with the slack taken away that the kernel allows itself for timers. What a round trip
takes by all that is measured, not assumed: `tests.bench.latency`.
"""

import asyncio
import select
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from selectors import EpollSelector, SelectorKey

from service.storage.server_process import LOOPBACK
from tests.bench.processes import answer, process, tell
from tests.faultproxy import FaultProxy

TIMER_SLACK = Path("/proc/self/timerslack_ns")


class Delays:
    """Proxies whose delay can be changed at any time."""

    def __init__(self, proxies: asyncio.subprocess.Process, ports: Mapping[int, int]) -> None:
        self._proxies = proxies
        self.ports = ports
        """The ports of the proxies by those that they lead to."""

    @staticmethod
    @asynccontextmanager
    async def before(ports: Sequence[int]) -> "AsyncIterator[Delays]":
        """Stand before servers on loopback, without a delay, until left."""
        async with process("tests.bench.delays", *map(str, ports)) as proxies:
            own = map(int, (await answer(proxies)).split())
            yield Delays(proxies, dict(zip(ports, own, strict=True)))

    async def add(self, round_trip_s: float) -> None:
        """Hold back every round trip by so many seconds from now on, half of them each way."""
        tell(self._proxies, round_trip_s / 2)
        await answer(self._proxies)


class MicrosecondSelector(EpollSelector):
    """Waits to the microsecond, by a wait for epoll's own descriptor."""

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            select.select([self.fileno()], [], [], timeout)
            timeout = 0
        return super().select(timeout)


async def _serve(ports: Sequence[int]) -> None:
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(FaultProxy(LOOPBACK, port)) for port in ports]
        print(*(proxy.port for proxy in proxies), flush=True)
        commands = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
        )
        while line := (await commands.readline()).decode().strip():
            for proxy in proxies:
                proxy.delay_s = float(line)
            print(flush=True)


if __name__ == "__main__":
    TIMER_SLACK.write_text("1", encoding="utf-8")
    with asyncio.Runner(
        loop_factory=lambda: asyncio.SelectorEventLoop(MicrosecondSelector())
    ) as runner:
        runner.run(_serve([int(port) for port in sys.argv[1:]]))
