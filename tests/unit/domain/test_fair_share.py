"""Fair share: whoever comes, goes or dies, it settles, and then nothing moves."""

from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.fair_share import Give, Take, next_move


@pytest.mark.parametrize(
    ("held", "free", "move"),
    [
        ({"me": ""}, "0123", Take(0)),
        ({"me": "0123"}, "", None),
        ({"me": "0123", "new": ""}, "", Give(3)),
        ({"me": "012", "new": "3"}, "", Give(2)),
        ({"me": "01", "new": "23"}, "", None),
        ({"me": "01", "he": "2", "new": ""}, "3", None),
        ({"me": "", "he": "01", "she": "2"}, "3", Take(3)),
        ({"me": "0", "she": "1"}, "23", Take(2)),
        ({"me": "0", "he": "1"}, "23", Take(3)),
        # What was given is not taken back before he who lacks it has come.
        ({"me": "01", "new": ""}, "23", None),
        ({"me": "01", "he": "2", "new": "3"}, "", None),
        # More processes than shards: one stays without.
        ({"me": "", "a": "0", "b": "1", "c": "2", "d": "3"}, "", None),
        ({"me": "", "b": "1", "c": "2", "d": "3"}, "0", Take(0)),
    ],
)
def test_the_next_move(held: dict[str, str], free: str, move: Take | Give | None) -> None:
    shards = {who: [int(each) for each in theirs] for who, theirs in held.items()}
    assert next_move("me", 4, shards, [int(each) for each in free]) == move


class World:
    """Processes that look at the table as it was a moment ago, and act one by one."""

    def __init__(self, shards: int, random: Random) -> None:
        self.shards = shards
        self.random = random
        self.held: dict[str, set[int]] = {}
        self.free = set(range(shards))
        self.moves = 0

    def beat(self) -> None:
        view = {who: frozenset(held) for who, held in self.held.items()}
        free = frozenset(self.free)
        for who in self.random.sample(sorted(self.held), len(self.held)):
            match next_move(who, self.shards, view, free):
                case Take(shard) if shard in self.free:  # the lease decides
                    self.free.discard(shard)
                    self.held[who].add(shard)
                    self.moves += 1
                case Give(shard):
                    self.held[who].discard(shard)
                    self.free.add(shard)
                    self.moves += 1

    def sizes(self) -> Iterable[int]:
        return [len(held) for held in self.held.values()]


EVENTS = st.lists(
    st.tuples(st.sampled_from(("joins", "dies", "beats")), st.integers(0, 5)), max_size=25
)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 24), EVENTS, st.randoms(use_true_random=False))
def test_it_settles_and_nothing_moves_then(
    shards: int, events: list[tuple[str, int]], random: Random
) -> None:
    world = World(shards, random)
    for event, number in [*events, ("joins", 0)]:
        match event:
            case "joins":
                world.held.setdefault(str(number), set())
            case "dies":
                world.free |= world.held.pop(str(number), set())
            case "beats":
                for _ in range(number):
                    world.beat()
        every = [*world.free, *(shard for held in world.held.values() for shard in held)]
        assert sorted(every) == list(range(shards))
    for _ in range(4 * shards + 8):
        world.beat()
    assert not world.free
    assert max(world.sizes()) - min(world.sizes()) <= 1
    before = world.moves
    for _ in range(5):
        world.beat()
    assert world.moves == before
