"""What the log of leases must not hold: two who trade a shard, writes of who has not got it."""

from tests.adversity.lease_log import LeaseLine, StoredEvent, lease_faults, take_overs

ONE, TWO = "engine-1", "engine-2"
# Shard 1 of 2: taken by one, who decides 1 and 3 and 5; then, when its lease is over, by two.
LINES = [
    LeaseLine(1, ONE, 1, 0, 1, True, 0, 0),
    LeaseLine(2, ONE, 1, 1, 1, False, 0, 3),
    LeaseLine(3, ONE, 1, 1, 1, False, 3, 5),
    LeaseLine(4, TWO, 1, 1, 2, True, 5, 5),
    LeaseLine(5, TWO, 1, 2, 2, False, 5, 7),
]
STORED = [
    StoredEvent(1, 11, ONE),
    StoredEvent(3, 13, ONE),
    StoredEvent(5, 11, ONE),
    StoredEvent(7, 11, TWO),
]


def test_nothing_is_wrong_with_a_shard_that_goes_from_one_to_the_next() -> None:
    assert lease_faults(LINES, STORED, 2) == []
    assert take_overs(LINES) == 2


def test_shards_are_judged_apart() -> None:
    other = [line._replace(shard=0, line=line.line + 10) for line in LINES[:1]]
    assert lease_faults([*other, *LINES], STORED, 2) == []


def test_who_takes_a_lease_that_is_not_over_is_found() -> None:
    lines = [*LINES[:3], LINES[3]._replace(was_over=False), LINES[4]]
    (fault,) = lease_faults(lines, STORED, 2)
    assert "before its lease was over" in fault


def test_who_writes_under_the_epoch_of_another_is_found() -> None:
    lines = [*LINES[:2], LINES[2]._replace(by=TWO), *LINES[3:]]
    stored = [*STORED[:2], STORED[2]._replace(by=TWO), STORED[3]]
    assert any("under epoch 1 of engine-1" in fault for fault in lease_faults(lines, stored, 2))


def test_an_old_epoch_that_comes_back_is_found() -> None:
    late = LeaseLine(6, ONE, 1, 1, 1, False, 7, 9)
    faults = lease_faults([*LINES, late], [*STORED, StoredEvent(9, 11, ONE)], 2)
    assert any("epoch 1 to 1 after 2" in fault for fault in faults)


def test_decisions_that_do_not_go_on_where_they_ended_are_found() -> None:
    lines = [*LINES[:4], LINES[4]._replace(decided_before=3)]
    assert any("go on at 3" in fault for fault in lease_faults(lines, STORED, 2))
    lines = [*LINES[:4], LINES[4]._replace(decided=1)]
    assert any("go on at 5" in fault for fault in lease_faults(lines, STORED[:3], 2))


def test_an_event_that_another_has_stored_is_found() -> None:
    stored = [*STORED[:3], STORED[3]._replace(by=ONE)]
    assert lease_faults(LINES, stored, 2) == [
        "event 7 was stored by engine-1, its commit by engine-2"
    ]


def test_an_event_beyond_the_last_decision_is_found() -> None:
    faults = lease_faults(LINES, [*STORED, StoredEvent(9, 11, TWO)], 2)
    assert faults == ["event 9 of shard 1 is beyond its last decision"]


def test_an_event_with_the_id_of_another_shard_is_found() -> None:
    faults = lease_faults(LINES, [StoredEvent(2, 11, ONE), *STORED[1:]], 2)
    assert faults == ["event 2 is of shard 1, and has another's id"]
