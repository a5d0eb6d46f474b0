"""Committed events on their way into the cached accounts, and to whoever subscribed to them."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.instruments import Instruments
from service.storage.cache_entries import applications
from service.storage.redis_link import WRITE_TIMEOUT_S, RedisLink
from service.storage.redis_node import Command
from telemetry.span_ids import SpanIds
from telemetry.vocabulary import CACHE_UPDATES

ACCOUNTS_AT_ONCE = 500


async def apply_events(
    link: RedisLink,
    instruments: Instruments,
    payloads: Sequence[bytes | str],
    spans: Sequence[SpanIds | None],
) -> set[int]:
    """Take events, JSON of `EventView`, into their entries and publish them; never raises.

    `spans` are those of their publishing, if any is traced. One pipeline for up to
    `ACCOUNTS_AT_ONCE` accounts; of an account in the order given.

    Returns:
        The accounts whose events are not known to have reached Redis.
    """
    commands = list(applications(payloads, spans).items())
    missed: set[int] = set()
    for start in range(0, len(commands), ACCOUNTS_AT_ONCE):
        missed |= await _apply(link, instruments, dict(commands[start : start + ACCOUNTS_AT_ONCE]))
    return missed


async def _apply(
    link: RedisLink, instruments: Instruments, commands: Mapping[int, Command]
) -> set[int]:
    outcomes: list[Any] = [None] * len(commands)

    async def ask() -> None:
        await link.pipeline(list(commands.values()), outcomes)

    await link.call("apply_events", WRITE_TIMEOUT_S, ask)
    taken = [each for each in outcomes if isinstance(each, list)]
    if taken:
        counts = map(sum, zip(*taken, strict=True))
        for outcome, count in zip(CACHE_UPDATES, counts, strict=True):
            instruments.cache_updated(outcome, count)
    return {
        account_id
        for account_id, outcome in zip(commands, outcomes, strict=True)
        if not isinstance(outcome, list)
    }
