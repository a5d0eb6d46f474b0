"""Conversations over the stream, made of frames good and bad, until so many frames were sent."""

import asyncio
from collections import Counter
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.frames import CONVERSATIONS, EXTENSIONS, SentFrame, converse
from tests.fuzz.subject import Subject

AT_A_TIME = 200
ACCOUNTS = 22


class Conversations:
    """Conversations with one service; `frames` counts what was sent, `ends` how they ended."""

    def __init__(self, subject: Subject, number: int) -> None:
        self._subject = subject
        self._number = number
        self.frames = 0
        self.ends: Counter[str] = Counter()

    def run(self, count: int, tell: Callable[[int], None]) -> None:
        """Send so many frames. Raises TimeoutError: no answer; AssertionError: a failure."""
        with asyncio.Runner() as runner:
            turn = 0
            while self.frames < count:
                turn += 1
                self._fuzz(runner, turn, count)
                tell(self.frames)

    def _fuzz(self, runner: "asyncio.Runner", turn: int, count: int) -> None:
        @seed(self._number * 10_000 + turn)
        @settings(
            max_examples=AT_A_TIME,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(frames=CONVERSATIONS, extensions=EXTENSIONS)
        def talk(frames: list[SentFrame], extensions: str) -> None:
            if self.frames >= count:
                return
            account_id = 1 + self.ends.total() % ACCOUNTS
            token = self._subject.token(account_id=account_id)
            end = runner.run(converse(self._subject.port, token, frames, extensions))
            self.ends[end] += 1
            self.frames += len(frames) + 1

        talk()
