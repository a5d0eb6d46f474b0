"""Whether PostgreSQL and Redis answer, as a process sees them: cut off, hanging, and back."""

from random import Random

import pytest

from service.instruments import Instruments
from service.loops import own_state
from service.loops.own_state import SILENCE_LIMIT_S, Dependency, OwnState
from service.loops.supervisor import Supervisor
from service.storage import database
from service.storage.cache import Cache
from service.storage.database import Database
from telemetry import catalogue
from tests.proxied import in_front_of, through
from tests.support import eventually


@pytest.mark.parametrize("name", ["postgresql", "redis"])
async def test_a_server_is_down_while_it_gives_no_answer(
    postgres_dsn: str, redis_url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_state, "ASK_INTERVAL_S", 0.1)
    monkeypatch.setattr(own_state, "SILENCE_LIMIT_S", 1.0)
    monkeypatch.setattr(database, "PING_TIMEOUT_S", 0.5)
    addresses = {"postgresql": postgres_dsn, "redis": redis_url}
    instruments = Instruments()
    up = instruments.metrics.gauge(catalogue.DEPENDENCY_UP).child(name)
    (untouched,) = addresses.keys() - {name}
    other = instruments.metrics.gauge(catalogue.DEPENDENCY_UP).child(untouched)
    async with in_front_of(addresses[name]) as proxy:
        addresses[name] = through(proxy, addresses[name])
        store, cache = (
            Database(addresses["postgresql"], instruments),
            Cache(addresses["redis"], instruments),
        )
        state = OwnState(instruments, store, cache)
        assert up.now, "nothing is told of a server before it was asked"
        supervisor = Supervisor(instruments, Random(1))
        async with supervisor.group() as loops:
            state.keep(loops)
            proxy.pause()
            await eventually(lambda: not up.now)
            proxy.resume()
            await eventually(lambda: bool(up.now))
            await proxy.cut()
            await eventually(lambda: not up.now)
            await proxy.restore()
            await eventually(lambda: bool(up.now))
            assert other.now
        assert all(not status.errors for status in supervisor.statuses())
        await cache.close()
        await store.close()


def test_it_is_down_once_it_was_asked_in_vain_for_long_and_up_with_an_answer() -> None:
    now = 100.0
    dependency = Dependency(lambda: now)
    told = [dependency.is_up]
    dependency.asks()
    now += SILENCE_LIMIT_S
    dependency.was_asked(answered=False)
    told.append(dependency.is_up)
    dependency.asks()
    dependency.was_asked(answered=False)  # the first of the failures counts
    now += 0.1
    told.append(dependency.is_up)
    dependency.was_asked(answered=True)
    assert [*told, dependency.is_up] == [True, True, False, True]


def test_a_process_that_was_suspended_takes_no_server_for_down() -> None:
    now = 100.0
    dependency = Dependency(lambda: now)
    dependency.asks()
    dependency.was_asked(answered=True)
    now += 10 * SILENCE_LIMIT_S
    assert dependency.is_up
