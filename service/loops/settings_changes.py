"""Changes of settings on their way to be stored, in their place among the decisions."""

import asyncio
from collections.abc import Sequence

from service.loops.answers import ANSWER_TIMEOUT_S, Unavailable, Withdrawn
from service.storage.errors import Diverged, Fenced
from service.storage.settings_write import SettingsStatement
from service.storage.writer import Writer


class SettingsChanges:
    """Counts changes that memory has taken and the database will.

    Attributes:
        count: changes so far; `in_flight`: those not stored yet. What memory holds can be compared
            with what is stored only where the count has not moved and nothing is in flight.
    """

    def __init__(self) -> None:
        self.count = 0
        self.in_flight = 0

    def queue(
        self, writer: Writer, statements: Sequence[SettingsStatement]
    ) -> "asyncio.Future[None]":
        """Queue a change behind what was decided before it."""
        stored = writer.put_settings(statements)
        self.count += 1
        self.in_flight += 1
        stored.add_done_callback(self._is_done)
        return stored

    async def wait(self, stored: "asyncio.Future[None]") -> None:
        """Wait until a change is stored, for at most `ANSWER_TIMEOUT_S`.

        Raises:
            Unavailable: it takes too long, or trading stops.
            Withdrawn: the database refused it; trading starts over from what is stored.
        """
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await asyncio.shield(stored)
        except TimeoutError as error:
            raise Unavailable("changed, but not stored yet: look again later", 5) from error
        except Fenced as error:
            raise Unavailable("trading stopped before this was stored") from error
        except Diverged as error:
            raise Withdrawn("the database refused this change: nothing changed") from error

    def _is_done(self, _: "asyncio.Future[None]") -> None:
        self.in_flight -= 1
