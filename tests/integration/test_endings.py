"""What runs for ever ends when it is cancelled, at whatever moment that comes."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from service.instruments import Instruments
from service.storage.embedded import EmbeddedValkey
from service.storage.events import EventFeed
from tests.integration.test_events import Outbox

TURNS = 40
END_TIMEOUT_S = 10.0

Runner = Callable[[Coroutine[Any, Any, list[int]]], list[int]]


async def cancel_after_turns(redis_url: str) -> list[int]:
    """Return after how many turns of the loop a cancelled feed did not end."""
    unending = []
    for turns in range(TURNS):
        outbox = Outbox()
        feed = EventFeed(redis_url, outbox, Instruments(), outbox.latest)
        unsubscribe = await feed.subscribe(17, 0, lambda payload: None)
        task = asyncio.create_task(feed.run())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        _, pending = await asyncio.wait((task,), timeout=END_TIMEOUT_S)
        unsubscribe()
        if pending:
            unending.append(turns)
            break
    return unending


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_the_event_feed_ends_while_it_connects(valkey_server: EmbeddedValkey, run: Runner) -> None:
    assert run(cancel_after_turns(valkey_server.url)) == []
