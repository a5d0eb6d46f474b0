"""Errors that repeat: the first is written, then one line a period says how many more there were.

Two messages are the same if they come from the same place in the code and differ in digits alone.
A place that says more than `MAX_TEXTS` different things in a period is taken for one that says the
same: however odd its text, no place writes more than some two lines a second for long.
"""

import re
from dataclasses import dataclass
from threading import RLock

from telemetry.log_line import Line

PERIOD_S = 10.0
MAX_TEXTS = 10
_DIGITS = re.compile(r"\d+")
_ANY_TEXT = "*"


@dataclass(slots=True)
class _Repeated:
    since_s: float
    last: Line
    count: int = 0


class Repetitions:
    """What was written of late, so that it is not written again; for any thread."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, int], dict[str, _Repeated]] = {}
        self._lock = RLock()  # a finaliser may log amidst a call

    def is_new(self, line: Line, now_s: float) -> bool:
        """Tell whether to write `line`; False: it is counted instead."""
        text = _DIGITS.sub("#", line.message)
        with self._lock:
            texts = self._places.setdefault((line.module, line.line), {})
            repeated = texts.get(text)
            if repeated is None and len(texts) >= MAX_TEXTS:
                text = _ANY_TEXT
                repeated = texts.get(text)
            if repeated is None:
                texts[text] = _Repeated(now_s, line)
                return True
            repeated.count += 1
            repeated.last = line
            return False

    def summaries(self, now_s: float, period_s: float = PERIOD_S) -> list[Line]:
        """Return a line for each message that was repeated and whose period is over."""
        due: list[Line] = []
        with self._lock:
            for place, texts in list(self._places.items()):
                for text, repeated in list(texts.items()):
                    age_s = now_s - repeated.since_s
                    if age_s < period_s:
                        continue
                    if not repeated.count:
                        del texts[text]
                        continue
                    due.append(_summary(repeated, age_s))
                    repeated.since_s, repeated.count = now_s, 0
                if not texts:
                    del self._places[place]
        return due


def _summary(repeated: _Repeated, age_s: float) -> Line:
    times = "once" if repeated.count == 1 else f"{repeated.count} times"
    message = f"repeated {times} in {age_s:.0f} s: {repeated.last.message}"
    return repeated.last._replace(message=message, exception="")
