"""Requests over Redis: nothing is decided twice, and who waits hears what became of it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from service.domain.instrument import TradingState
from service.domain.rejection import RejectCode, Rejected
from service.loops.answers import ANSWER_TIMEOUT_S, Unavailable
from service.loops.commands import Cancel
from service.loops.requests import (
    Author,
    ChangeSettings,
    RejectedReply,
    SetGroupState,
    TakeCommand,
    encode_reply,
)
from service.storage.cache_keys import answers_key, commands_key
from tests.bus import Processes, event_of, processes
from tests.faultproxy import FaultProxy, Moment
from tests.proxied import through
from tests.redis_cluster import RunningCluster, running_cluster
from tests.support import eventually

ANSWER = b"NOMKSTREAM"
CHANGE = ChangeSettings(SetGroupState("gold", TradingState.HALTED), Author("admin"))
REFUSED = Rejected(RejectCode.NO_QUOTE, "no quote yet")


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.loops.asking.AGAIN_S", 0.2)
    for module in ("asking", "answering"):
        monkeypatch.setattr(f"service.loops.{module}.ANSWER_TIMEOUT_S", 1.2)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RunningCluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
async def world(redis_url: str) -> AsyncIterator[Processes]:
    async with processes(redis_url) as world:
        yield world


@pytest.fixture(params=["server", "cluster"])
async def anywhere(
    request: pytest.FixtureRequest, redis_url: str, cluster: RunningCluster
) -> AsyncIterator[Processes]:
    async with processes({"server": redis_url, "cluster": cluster.url}[request.param]) as world:
        yield world


async def asked_of(redis: Redis) -> list[dict[Any, Any]]:
    """Return the entries of the shard's stream."""
    found: Any = await redis.xrange(commands_key(0))
    return [fields for _, fields in found]


async def test_what_an_engine_took_with_it_is_decided_by_the_next(anywhere: Processes) -> None:
    gateway, first = await anywhere.gateway(), await anywhere.engine()
    first.engine.may_answer.clear()
    taking = asyncio.create_task(gateway.bus.take(1, "k", Cancel(1)))
    await eventually(lambda: bool(first.engine.requests))
    await first.stop()
    second = await anywhere.engine()
    assert (await taking).event == event_of(1)
    assert first.engine.requests == second.engine.requests == [TakeCommand(1, "k", Cancel(1))]
    assert gateway.asked_again >= 1


async def test_an_answer_that_was_lost_is_given_again_and_nothing_decided(
    world: Processes, redis_proxy: FaultProxy
) -> None:
    gateway, engine = await world.gateway(), await world.engine(through(redis_proxy, world.url))
    trap = redis_proxy.arm(ANSWER, Moment.BEFORE_FORWARD)
    engine.engine.refusal = REFUSED
    taking = asyncio.create_task(gateway.bus.take(1, None, Cancel(1)))
    await trap.sprung()
    engine.engine.refusal = None  # decided anew, it would be accepted
    trap.cut()
    with pytest.raises(Rejected):
        await taking
    assert len(engine.engine.requests) == 1


async def test_a_command_asked_again_joins_the_one_on_its_way(world: Processes) -> None:
    gateway, engine = await world.gateway(), await world.engine()
    engine.engine.may_answer.clear()
    taking = asyncio.create_task(gateway.bus.take(1, None, Cancel(1)))
    await eventually(lambda: gateway.asked_again >= 2)
    engine.engine.may_answer.set()
    assert not (await taking).is_repeated
    assert len(engine.engine.requests) == 1


async def test_an_engine_that_lost_the_shard_refuses_nothing(world: Processes) -> None:
    gateway, former = await world.gateway(), await world.engine()
    former.engine.may_answer.clear()
    taking = asyncio.create_task(gateway.bus.take(1, "k", Cancel(1)))
    await eventually(lambda: bool(former.engine.requests))
    former.led.clear()
    former.engine.refusal = REFUSED
    former.engine.may_answer.set()
    await world.engine()
    assert (await taking).event == event_of(1)


async def test_an_engine_that_lost_the_shard_tells_what_was_committed(world: Processes) -> None:
    gateway, former = await world.gateway(), await world.engine()
    former.engine.may_answer.clear()
    taking = asyncio.create_task(gateway.bus.take(1, "k", Cancel(1)))
    await eventually(lambda: bool(former.engine.requests))
    former.led.clear()
    former.engine.may_answer.set()
    assert (await taking).event == event_of(1)


async def test_a_late_refusal_of_a_former_leader_is_not_believed(
    world: Processes, redis: Redis
) -> None:
    """It answers the first attempt; whoever leads now has got the second."""
    gateway, engine = await world.gateway(), await world.engine()
    engine.engine.may_answer.clear()
    taking = asyncio.create_task(gateway.bus.take(1, "k", Cancel(1)))
    await eventually(lambda: gateway.asked_again >= 1)
    asked, *_ = await asked_of(redis)
    late = encode_reply(RejectedReply(RejectCode.NO_QUOTE, "too late"))
    answers = answers_key(asked[b"g"].decode())
    await redis.xadd(answers, {"i": asked[b"i"], "a": "1", "m": late})
    await asyncio.sleep(0.05)
    assert not taking.done()
    engine.engine.may_answer.set()
    assert (await taking).event == event_of(1)


async def test_what_was_committed_and_not_answered_is_found_by_its_key(world: Processes) -> None:
    gateway = await world.gateway()
    gateway.stored[1, "k"] = msgspec.json.encode(event_of(1))
    taken = await gateway.bus.take(1, "k", Cancel(1))
    assert taken.event == event_of(1)
    assert taken.is_repeated
    assert gateway.unanswered == 1


async def test_what_nobody_answers_in_time_is_not_decided_later(
    world: Processes, redis: Redis
) -> None:
    gateway, engine = await world.gateway(), await world.engine(leads=False)
    with pytest.raises(Unavailable, match="may be done"):
        await gateway.bus.take(1, "k", Cancel(1))
    engine.led.add(0)
    await eventually(lambda: engine.bus.is_connected)
    late, *_ = await asked_of(redis)
    await redis.xadd(commands_key(0), late)
    await gateway.bus.take(1, "k 2", Cancel(2))
    assert engine.engine.requests == [TakeCommand(1, "k 2", Cancel(2))]


async def test_what_has_no_key_is_asked_once(world: Processes) -> None:
    gateway, engine = await world.gateway(), await world.engine()
    engine.engine.may_answer.clear()
    with pytest.raises(Unavailable, match="may be done"):
        await gateway.bus.ask(0, CHANGE)
    assert engine.engine.requests == [CHANGE]
    assert gateway.asked_again == 0


async def test_what_cannot_be_read_harms_nobody(world: Processes, redis: Redis) -> None:
    gateway, engine = await world.gateway(), await world.engine()
    unreadable: list[dict[Any, Any]] = [
        {"what": "is this"},
        {"i": "1", "d": 2**62, "g": "g", "a": 1, "m": b"\xc1"},
    ]
    for fields in unreadable:
        await redis.xadd(commands_key(0), fields)
    engine.engine.may_answer.clear()
    taking = asyncio.create_task(gateway.bus.take(1, "k", Cancel(1)))
    await eventually(lambda: bool(engine.engine.requests))
    *_, asked = await asked_of(redis)
    answers = answers_key(asked[b"g"].decode())
    for attempt, reply in (("?", b"\xc1"), ("1", b"\xc1"), ("?", b"")):
        await redis.xadd(answers, {"i": asked[b"i"], "a": attempt, "m": reply})
    engine.engine.may_answer.set()
    assert (await taking).event == event_of(1)
    assert len(engine.engine.requests) == 1


async def test_an_unexpected_error_is_told_as_unavailable(world: Processes) -> None:
    gateway, engine = await world.gateway(), await world.engine()
    engine.engine.refusal = RuntimeError("planted")
    with pytest.raises(Unavailable, match="see its log"):
        await gateway.bus.take(1, "k", Cancel(1))


async def test_too_many_that_wait_are_refused_at_once(
    world: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.loops.asking.OUTSTANDING", 3)
    gateway, engine = await world.gateway(), await world.engine()
    engine.engine.may_answer.clear()
    taking = [asyncio.create_task(gateway.bus.take(1, f"{n}", Cancel(n))) for n in range(3)]
    await eventually(lambda: len(engine.engine.requests) == 3)
    with pytest.raises(Unavailable, match="too many"):
        await gateway.bus.take(1, "one more", Cancel(9))
    engine.engine.may_answer.set()
    await asyncio.gather(*taking)
    await gateway.bus.take(1, "one more", Cancel(9))


async def test_without_redis_it_is_unavailable_at_once_and_back_when_that_is(
    world: Processes, redis_proxy: FaultProxy
) -> None:
    gateway = await world.gateway(through(redis_proxy, world.url))
    await world.engine()
    await gateway.bus.take(1, "k 1", Cancel(1))
    await redis_proxy.cut()
    await eventually(lambda: not gateway.bus.is_connected)
    with pytest.raises(Unavailable, match="Redis is away"):
        await gateway.bus.take(1, "k 2", Cancel(1))
    await redis_proxy.restore()
    await eventually(lambda: gateway.bus.is_connected)
    await gateway.bus.take(1, "k 3", Cancel(1))


async def test_a_redis_that_lost_everything_is_asked_again(
    world: Processes, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams are gone, and with them what was asked; connections are not."""
    for module in ("asking", "answering"):  # the gateway makes its stream anew once a second
        monkeypatch.setattr(f"service.loops.{module}.ANSWER_TIMEOUT_S", ANSWER_TIMEOUT_S)
    gateway, engine = await world.gateway(), await world.engine(leads=False)
    taking = [asyncio.create_task(gateway.bus.take(1, f"{n}", Cancel(n))) for n in range(9)]
    await eventually(lambda: gateway.asked_again >= 9)
    await redis.flushall()
    engine.led.add(0)
    for taken in await asyncio.gather(*taking):
        assert taken.event == event_of(1)
    assert len(engine.engine.requests) == 9


async def test_a_gateway_that_is_gone_leaves_nothing_behind(world: Processes, redis: Redis) -> None:
    gateway, engine = await world.gateway(), await world.engine()
    engine.engine.may_answer.clear()
    taking = asyncio.create_task(gateway.bus.take(1, "k", Cancel(1)))
    await eventually(lambda: bool(engine.engine.requests))
    taking.cancel()
    await gateway.stop()
    [answers] = await redis.keys("{gateway:*")
    assert 0 < await redis.ttl(answers) <= 60
    await redis.delete(answers)
    engine.engine.may_answer.set()
    await asyncio.sleep(0.1)
    assert await redis.keys("{gateway:*") == []
