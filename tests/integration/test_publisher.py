"""The publisher against a real Valkey."""

import asyncio
import random

from service.domain.decision import Decision
from service.instruments import Instruments
from service.loops.publisher import Publisher
from service.storage.cache import Cache
from service.storage.queue import Written
from tests.truth import Truth

CANCELLATIONS = 400


def written(truth: Truth, decision: Decision) -> list[Written]:
    return [Written(decision, 0, truth.place(order_id).decode()) for order_id in range(200)]


async def test_a_publisher_that_is_cancelled_ends_wherever_it_is(redis_url: str) -> None:
    cache = Cache(redis_url, Instruments())
    chance = random.Random(1)
    decision: Decision = None  # type: ignore[assignment] # not looked at
    events = [*written(Truth(1), decision), *written(Truth(2), decision)]
    try:
        for _ in range(CANCELLATIONS):
            publisher = Publisher(cache)
            publishing = asyncio.create_task(publisher.run())
            publisher.publish(events)
            await asyncio.sleep(chance.uniform(0, 0.02))
            publishing.cancel()
            async with asyncio.timeout(30):
                await asyncio.wait((publishing,))
            assert publishing.cancelled()
    finally:
        await cache.close()
