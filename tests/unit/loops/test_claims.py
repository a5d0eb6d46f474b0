"""Who wants what: fair shares, what nobody takes, and who cannot trade what he has."""

from typing import cast

import pytest

from service.instruments import Instruments
from service.loops.claims import OTHERS_FIT_FOR, FairShare
from service.storage.engines import Engines, Sharing

LIFE_S = 10.0
SHARDS = 4
OTHERS = "another"


class Shard:
    """A shard that is left as soon as it is handed over."""

    def __init__(self) -> None:
        self.is_wanted = False

    @property
    def is_aside(self) -> bool:
        return not self.is_wanted

    def want(self) -> None:
        self.is_wanted = True

    def hand_over(self) -> None:
        self.is_wanted = False

    async def gained(self) -> None: ...
    async def lost(self) -> None: ...


class Deployment:
    """A process with all the shards, as it sees the others; a clock that is moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.holder = "me"
        self.now = 0.0
        self.is_fit = True
        self.others: tuple[str, ...] = ()
        self.theirs = frozenset[int]()
        self.leased: frozenset[int] | None = None
        self.said: list[bool] = []
        self.is_alive = self.is_leaving = False
        self.shards = [Shard() for _ in range(SHARDS)]
        monkeypatch.setattr("service.loops.claims.time.monotonic", lambda: self.now)
        self.claims = FairShare(
            cast("Engines", self), self.shards, LIFE_S, Instruments(), lambda: self.is_fit
        )

    async def beat(self, *, is_fit: bool) -> Sharing:
        self.said.append(is_fit)
        if self.is_leaving:
            await self.claims.leave()
        self.is_alive = True
        mine = (self.wanted if self.leased is None else self.leased) - self.theirs
        held = {self.holder: mine, **dict.fromkeys(self.others, self.theirs)}
        free = frozenset(range(SHARDS)) - mine - self.theirs
        return Sharing(held, free if is_fit else frozenset())

    async def leave(self) -> None:
        self.is_alive = False

    @property
    def wanted(self) -> frozenset[int]:
        return frozenset(number for number, each in enumerate(self.shards) if each.is_wanted)

    async def live(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            await self.claims.run_once()
            self.now += self.claims.interval_s


@pytest.fixture
async def here(monkeypatch: pytest.MonkeyPatch) -> Deployment:
    deployment = Deployment(monkeypatch)
    await deployment.live(1)
    assert len(deployment.wanted) == SHARDS
    return deployment


async def test_one_that_hears_nothing_hands_all_over_to_those_who_do(here: Deployment) -> None:
    here.is_fit, here.others = False, (OTHERS,)
    await here.live(OTHERS_FIT_FOR * LIFE_S)
    assert len(here.wanted) == SHARDS, "the others may have lost the ticks as well"
    assert here.said[-1] is False
    await here.live(SHARDS)
    assert not here.wanted


async def test_where_nobody_hears_anything_everybody_keeps_what_he_has(here: Deployment) -> None:
    here.is_fit, here.others = False, (OTHERS,)
    await here.live(0.7 * LIFE_S)
    here.others = ()  # it does not beat any more
    await here.live(5 * LIFE_S)
    here.others = (OTHERS,)  # it was quicker to hear again
    await here.live(0.7 * LIFE_S)
    here.is_fit = True
    await here.live(1)
    here.is_fit = False
    await here.live(0.7 * LIFE_S)
    assert 0 in here.wanted
    assert len(here.wanted) >= SHARDS - 2, "a fair share was given, and nothing else"


async def test_what_is_given_and_nobody_takes_is_taken_back_and_kept(here: Deployment) -> None:
    here.others = (OTHERS,)
    await here.live(0.9 * LIFE_S)
    assert here.wanted == {0, 1, 2}, "one at a time, and he who lacks it has the first choice"
    await here.live(0.3 * LIFE_S)
    assert len(here.wanted) == SHARDS
    await here.live(5 * LIFE_S)
    assert len(here.wanted) == SHARDS


async def test_nothing_more_is_given_while_one_is_on_its_way(
    here: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shard, "is_aside", False)  # what is decided is still being committed
    here.others, here.leased = (OTHERS,), here.wanted
    await here.live(5)
    assert len(here.wanted) == SHARDS - 1


async def test_what_another_was_quicker_to_take_is_left_to_him(here: Deployment) -> None:
    here.others = (OTHERS,)
    here.theirs = frozenset({1, 2})
    await here.live(1)
    assert here.wanted == {0, 3}


async def test_a_beat_under_way_when_one_leaves_does_not_make_it_alive_again(
    here: Deployment,
) -> None:
    """The others would leave it what it left them, for half of a lease's life."""
    here.is_leaving = True
    await here.live(1)
    assert not here.is_alive
