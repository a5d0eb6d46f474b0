"""Newer settings, taken over by the shards of a process: none waits for another to store them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from service.domain.desk import Desk
from service.domain.instrument import SettingsError
from service.domain.shard import AccountShard
from service.loops.answers import Unavailable
from service.loops.settings_follower import SettingsFollower
from service.storage.settings_write import SettingsStatement
from tests.adversity.shard import EURUSD, SYMBOL

SHARDS = 3
FOLLOWERS = range(1, SHARDS)


class Stored:
    """Settings whose tolerance is their version, and what each shard has stored."""

    def __init__(self) -> None:
        self.newest = 0
        self.versions = dict.fromkeys(range(SHARDS), 0)
        self.loads = 0

    async def of_shards(self) -> Mapping[int, int]:
        return dict(self.versions)

    async def load(self) -> Desk:
        self.loads += 1
        return desk_of(0, self.newest)

    def change(self) -> None:
        self.newest += 1
        self.versions[0] = self.newest


class Shard:
    """A shard whose writer never gets to what is queued."""

    has_lease = True

    def __init__(self, number: int) -> None:
        self.desk = desk_of(number, 0)
        self.queued = 0
        self.error: Exception | None = None

    def queue_settings(
        self, apply: Callable[[Desk], Sequence[SettingsStatement]]
    ) -> "asyncio.Future[None]":
        if self.error is not None:
            raise self.error
        apply(self.desk)
        self.queued += 1
        return asyncio.get_running_loop().create_future()

    @property
    def tolerance(self) -> int:
        return self.desk.symbols[SYMBOL].trigger_tolerance_points


def desk_of(number: int, version: int) -> Desk:
    desk = Desk(AccountShard(number, SHARDS))
    desk.set_symbol(replace(EURUSD, trigger_tolerance_points=version))
    desk.settings_version = version
    return desk


def following() -> tuple[Stored, list[Shard], SettingsFollower]:
    stored, shards = Stored(), [Shard(number) for number in FOLLOWERS]
    return stored, shards, SettingsFollower(stored, shards)


async def test_a_shard_that_stores_nothing_holds_up_no_change() -> None:
    stored, shards, follower = following()
    for version in (1, 2, 3):
        stored.change()
        await follower.run_once()
        assert [shard.tolerance for shard in shards] == [version] * len(shards)
        assert [shard.desk.settings_version for shard in shards] == [version] * len(shards)
        stored.versions[1] = version  # and shard 2 stores nothing
    assert [shard.queued for shard in shards] == [3, 3]
    assert (stored.loads, follower.behind()) == (3, 3)


async def test_settings_on_their_way_are_not_taken_over_again() -> None:
    stored, shards, follower = following()
    stored.change()
    for _ in range(4):
        await follower.run_once()
    assert ([shard.queued for shard in shards], stored.loads) == ([1, 1], 1)
    assert follower.behind() == 1, "until it is stored"


async def test_a_desk_loaded_with_newer_settings_than_were_read_keeps_them() -> None:
    stored, (shard, _), follower = following()

    async def load() -> Desk:
        """Read version 1, and have the shard traded anew by version 2 meanwhile."""
        before = desk_of(0, 1)
        stored.change()
        shard.desk = desk_of(1, 2)
        return before

    stored.change()
    stored.load = load  # type: ignore[method-assign]
    await follower.run_once()
    assert (shard.tolerance, shard.desk.settings_version, shard.queued) == (2, 2, 0)
    del stored.load
    await follower.run_once()
    assert (shard.tolerance, shard.desk.settings_version, shard.queued) == (2, 2, 1), "triggers"


async def test_one_shard_that_cannot_is_asked_again_and_one_that_fails_is_told() -> None:
    stored, (first, second), follower = following()
    stored.change()
    first.error = Unavailable("the database is away: try again")
    await follower.run_once()
    assert (first.tolerance, second.tolerance) == (0, 1)
    first.error = SettingsError("it contradicts itself")
    stored.change()
    with pytest.raises(ExceptionGroup) as raised:
        await follower.run_once()
    assert raised.value.exceptions == (first.error,)
    assert (first.tolerance, second.tolerance) == (0, 2)
    first.error = None
    await follower.run_once()
    assert (first.tolerance, second.tolerance) == (2, 2)
