"""What processes have logged as errors, by their words, and what of them nobody expected.

That a server cannot be reached, which is what the faults do, is left out.
"""

from collections import Counter
from collections.abc import Iterable

import msgspec

from tests.soak.logged import SERVER_AWAY

ERRORS = frozenset({"ERROR", "CRITICAL"})
MOST = 20
WORDS = 100  # characters of a message that tell it from others


class _Line(msgspec.Struct):
    level: str
    message: str
    exception: str = ""


def errors_of(logs: Iterable[str]) -> dict[str, int]:
    """Return how often what was logged, of the `MOST` that were logged most."""
    counts = Counter[str]()
    for log in logs:
        for text in log.splitlines():
            try:
                line = msgspec.json.decode(text, type=_Line)
            except msgspec.MsgspecError:
                continue  # what a process says before it has a log, or as it is killed
            if line.level in ERRORS and SERVER_AWAY not in line.message:
                what = line.exception.strip().rpartition("\n")[2]
                counts[line.message[:WORDS] + (what and f": {what[:WORDS]}")] += 1
    return dict(counts.most_common(MOST))
