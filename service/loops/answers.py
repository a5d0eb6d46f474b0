"""Answers to commands: given once what they decided is committed.

An idempotency key decides at most one command: while the first is in flight a repetition waits for
its answer, afterwards the database has it. A refused command stored nothing, so its key is free.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from service.storage.views import EventView

ANSWER_TIMEOUT_S = 5.0

Answer = asyncio.Future[str]


class Unavailable(Exception):
    """Commands cannot be taken now; nothing was decided unless `detail` says so."""

    def __init__(self, detail: str, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


class Withdrawn(Exception):
    """The decision was taken back, because it or an earlier one of its account did not commit."""


class Answers:
    """The commands that wait for their commit."""

    def __init__(self) -> None:
        self._by_decision: dict[int, Answer] = {}
        self._by_key: dict[tuple[int, str], Answer] = {}
        self._decode = msgspec.json.Decoder(EventView).decode

    def expect(self, decision_id: int) -> Answer:
        """Return what will hold the event of a decision as JSON."""
        answer = self._by_decision[decision_id] = asyncio.get_running_loop().create_future()
        return answer

    def give(self, decision_id: int, payload: str) -> None:
        """Answer whoever waits for a decision that is committed."""
        answer = self._by_decision.pop(decision_id, None)
        if answer is not None and not answer.done():
            answer.set_result(payload)

    def refuse(self, decision_ids: Iterable[int], error: Exception) -> None:
        """Tell whoever waits for decisions that will never be committed."""
        for decision_id in decision_ids:
            answer = self._by_decision.pop(decision_id, None)
            if answer is not None:
                _refuse(answer, error)

    def refuse_all(self, error: Exception) -> None:
        """Tell everybody who waits."""
        self.refuse(list(self._by_decision), error)

    async def once(
        self,
        slot: tuple[int, str],
        stored: Callable[[], Awaitable[bytes | None]],
        decide: Callable[[], Answer],
    ) -> EventView:
        """Answer the command of an account's key: decided now, in flight, or `stored` before."""
        answer = self._by_key.get(slot)
        if answer is None:
            answer = self._by_key[slot] = asyncio.get_running_loop().create_future()
            answer.add_done_callback(lambda _: self._by_key.pop(slot, None))
            try:
                before = await stored()
                if before is not None:
                    answer.set_result(before.decode())
                else:
                    decided, waiting = decide(), answer
                    decided.add_done_callback(lambda done: _pass_on(done, waiting))
            except BaseException as error:
                known = error if isinstance(error, Exception) else Unavailable("interrupted")
                _refuse(answer, known)
                raise
        return await self.wait(answer)

    async def wait(self, answer: Answer) -> EventView:
        """Wait for an answer, for at most `ANSWER_TIMEOUT_S`.

        Raises:
            Unavailable: it takes too long; the decision stands and will be committed.
            Withdrawn: it could not be stored; nothing changed.
        """
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                payload = await asyncio.shield(answer)
        except TimeoutError as error:
            raise Unavailable(
                "decided, but not committed yet: ask again with the same idempotency key", 5
            ) from error
        return self._decode(payload)


def _pass_on(done: Answer, waiting: Answer) -> None:
    error = done.exception()
    if error is not None:
        _refuse(waiting, error)
    elif not waiting.done():
        waiting.set_result(done.result())


def _refuse(answer: Answer, error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)
        answer.exception()  # whoever still waits sees it; nobody has to
