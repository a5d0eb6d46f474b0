"""Listeners to account events: each must hear everything, in order, once."""

from collections.abc import Callable, Sequence

import msgspec

from service.storage.events import EventFeed

MAX_FAULTS = 20


class _Head(msgspec.Struct):
    account_id: int
    sequence: int


_head_from = msgspec.json.Decoder(_Head).decode


class Listeners:
    """One subscriber to each of some accounts."""

    def __init__(self, sequence: Callable[[int], int | None]) -> None:
        self._sequence = sequence
        self._heard: dict[int, int] = {}
        self.faults: list[str] = []
        self.events = 0

    async def listen(self, feed: EventFeed, account_ids: Sequence[int]) -> None:
        """Subscribe to accounts, from what was decided of them so far."""
        for account_id in account_ids:
            heard = self._heard[account_id] = self._sequence(account_id) or 0
            await feed.subscribe(account_id, heard, self._hear)

    def _hear(self, payload: bytes) -> None:
        head = _head_from(payload)
        expected = self._heard[head.account_id] + 1
        if head.sequence != expected and len(self.faults) < MAX_FAULTS:
            self.faults.append(
                f"account {head.account_id}: heard event {head.sequence}, expected {expected}"
            )
        self._heard[head.account_id] = head.sequence
        self.events += 1

    def behind(self) -> list[int]:
        """Return the accounts of which not everything decided was heard yet."""
        return [each for each, heard in self._heard.items() if heard != self._sequence(each)]
