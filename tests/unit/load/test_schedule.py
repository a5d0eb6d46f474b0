"""What is due: as many as the rate says, at their own times, however late they are taken."""

from hypothesis import given
from hypothesis import strategies as st

from service.load.schedule import MAX_BEHIND_S, Clock, Schedule

NS = 1_000_000_000


@given(st.floats(0.5, 50_000), st.lists(st.integers(0, NS // 2), max_size=30))
def test_nothing_is_lost_or_due_twice_while_it_is_taken_in_time(
    per_s: float, steps: list[int]
) -> None:
    schedule, now, taken = Schedule(per_s, NS), NS, []
    for step in steps:
        now += step
        taken += schedule.due(now)
    assert all(time <= now for time in taken)
    assert taken == sorted(taken)
    assert schedule.skipped == 0
    expected = (now - NS) * per_s / NS
    assert len(taken) <= expected + 1.001
    assert not steps or len(taken) >= expected - 0.001


def test_each_has_its_own_time() -> None:
    assert Schedule(1_000, 5 * NS).due(5 * NS + 2_500_000) == [
        5 * NS,
        5 * NS + 1_000_000,
        5 * NS + 2_000_000,
    ]


def test_what_could_not_be_sent_for_too_long_is_counted() -> None:
    schedule = Schedule(100, 0)
    due = schedule.due(3 * NS)
    assert len(due) == 100 * MAX_BEHIND_S + 1
    assert schedule.skipped == 200
    assert schedule.due(3 * NS) == []


def test_the_clock_goes_on() -> None:
    clock = Clock()
    first = clock.now()
    assert clock.now() >= first > 1_600_000_000 * NS
