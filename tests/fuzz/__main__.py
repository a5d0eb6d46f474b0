"""Send a service nonsense: `python -m tests.fuzz --inputs 100000 --seed 7 --role gateway`.

Half of the inputs are calls, half frames on streams. It ends at the first failure of the service,
with what caused it, and tells how large the service was all along. It fails, too, where one of its
processes has ended, has logged an error, keeps a socket, or grows: where in either half the median
of its memory in the last third is more than `BOUND` times that in the first.
"""

import argparse
import asyncio
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from service.roles import ServiceRole
from tests.fuzz.calls import Calls
from tests.fuzz.conversations import Conversations
from tests.fuzz.subject import Size, Subject, subject
from tests.soak.memory import BOUND

TELL_EVERY_S = 15.0
SAMPLE_EVERY_S = 1.0
MIN_SAMPLES = 10
SETTLE_S = 5.0
TOLD_FAILURES = 10


class Watch:
    """Tells how far it is and how large the service is, now and then; samples its memory."""

    def __init__(self, on: Subject, what: str, total: int) -> None:
        self._on = on
        self._what = what
        self._total = total
        self._begun = self._told = self._sampled = time.monotonic()
        self._memory: list[Mapping[ServiceRole, float]] = []

    def growth(self) -> dict[ServiceRole, float]:
        """Return the memory of the last third over the first, by role; none: too short to tell."""
        third = len(self._memory) // 3
        if third < MIN_SAMPLES:
            return {}
        return {
            role: median(each[role] for each in self._memory[-third:])
            / median(each[role] for each in self._memory[:third])
            for role in self._memory[0]
        }

    def tell(self, done: int, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if now - self._sampled >= SAMPLE_EVERY_S:
            self._sampled = now
            self._memory.append(self._on.memory_mib())
        if at_once or now - self._told >= TELL_EVERY_S:
            self._told = now
            took = f"{now - self._begun:.0f} s"
            print(
                f"{self._what}: {done:,} of {self._total:,} in {took}; {measured(self._on)}",
                flush=True,
            )


def measured(on: Subject) -> Size:
    with urllib.request.urlopen(f"{on.ops}/metrics", timeout=30) as answer:
        return on.size(answer.read().decode())


async def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--role",
        type=ServiceRole,
        choices=(ServiceRole.ALL, ServiceRole.GATEWAY),
        default=ServiceRole.ALL,
        help="who answers: the one process, or a gateway beside an engine and a feed; "
        "default: %(default)s",
    )
    options = parser.parse_args()
    half = options.inputs // 2
    with tempfile.TemporaryDirectory() as folder:
        async with subject(Path(folder), options.role) as on:
            calls, talk = Calls(on, options.seed), Conversations(on, options.seed)
            before = measured(on)
            watches = []
            for what, part in (("calls", calls), ("frames", talk)):
                watches.append(watch := Watch(on, what, half))
                await asyncio.to_thread(part.run, half, watch.tell)
                watch.tell(half, at_once=True)
            await asyncio.sleep(SETTLE_S)
            after = measured(on)
            failures = on.failures()
    print(f"answers by status: {dict(sorted(calls.statuses.items()))}")
    print(f"conversations: {dict(talk.ends)}")
    print(f"before: {before}\nafter: {after}")
    growth = [(role, by) for watch in watches for role, by in watch.growth().items()]
    told = ", ".join(f"{role} {by:.3f}" for role, by in growth) or "too short"
    print(f"memory, last third : first: {told}")
    print(f"failures: {len(failures)}", *failures[:TOLD_FAILURES], sep="\n")
    return 1 if failures or after.sockets or any(by > BOUND for _, by in growth) else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
