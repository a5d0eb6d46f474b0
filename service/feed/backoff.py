"""How long to wait before the next attempt: exponential, with full jitter, capped."""

from random import Random


class Backoff:
    """Waits that double from `base_s` to `cap_s`; each is drawn from its upper half."""

    def __init__(self, base_s: float, cap_s: float, random: Random) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._random = random
        self._ceiling_s = base_s

    def reset(self) -> None:
        """Start over, after a success."""
        self._ceiling_s = self._base_s

    def next_wait_s(self) -> float:
        """Return the next wait in seconds, and double the one after it."""
        ceiling_s = self._ceiling_s
        self._ceiling_s = min(self._cap_s, ceiling_s * 2)
        return self._random.uniform(ceiling_s / 2, ceiling_s)
