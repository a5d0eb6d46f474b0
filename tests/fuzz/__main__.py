"""Send a service nonsense: `python -m tests.fuzz --inputs 100000 --seed 7`.

Half of the inputs are calls, half frames on streams. It ends at the first failure of the service,
with what caused it, and tells how large the service was all along.
"""

import argparse
import asyncio
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.fuzz.calls import Calls
from tests.fuzz.conversations import Conversations
from tests.fuzz.subject import Size, Subject, subject

TELL_EVERY_S = 15.0
SETTLE_S = 5.0


class Watch:
    """Tells how far it is and how large the service is, now and then."""

    def __init__(self, on: Subject, what: str, total: int) -> None:
        self._on = on
        self._what = what
        self._total = total
        self._begun = self._told = time.monotonic()
        self.sizes: list[Size] = []

    def tell(self, done: int, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if at_once or now - self._told >= TELL_EVERY_S:
            self._told = now
            size = measured(self._on)
            self.sizes.append(size)
            print(
                f"{self._what}: {done:,} of {self._total:,} in {now - self._begun:.0f} s; "
                f"{size.memory_mib:.0f} MiB, {size.files} files, {size.sockets} sockets, "
                f"{size.series} series",
                flush=True,
            )


def measured(on: Subject) -> Size:
    with urllib.request.urlopen(f"{on.ops}/metrics", timeout=30) as answer:
        return on.size(answer.read().decode())


async def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    half = options.inputs // 2
    with tempfile.TemporaryDirectory() as folder:
        async with subject(Path(folder)) as on:
            calls, talk = Calls(on, options.seed), Conversations(on, options.seed)
            before = measured(on)
            for what, part in (("calls", calls), ("frames", talk)):
                watch = Watch(on, what, half)
                await asyncio.to_thread(part.run, half, watch.tell)
                watch.tell(half, at_once=True)
            await asyncio.sleep(SETTLE_S)
            after = measured(on)
            failures = on.service.log.count('"level":"ERROR"')
    print(f"answers by status: {dict(sorted(calls.statuses.items()))}")
    print(f"conversations: {dict(talk.ends)}")
    print(f"before: {before}\nafter: {after}\nerrors in the log: {failures}")
    return 1 if failures or after.sockets else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
