"""Settings that were set and are not, or not everywhere."""

from tests.adversity.administrators import Change, settings_faults

KEY = ("gold", "EURUSD")
DONE = Change("gold", "EURUSD", 3, is_done=True)
STORED = {KEY: 3}
TOLD = {"gateway-1": STORED}
VERSIONS = [(0, 5), (1, 5)]


def test_what_was_set_is_stored_and_told_by_everybody() -> None:
    first = Change("gold", "EURUSD", 1, is_done=True)
    assert settings_faults([first, DONE], STORED, TOLD, VERSIONS) == []


def test_what_was_set_and_is_not_stored_is_found() -> None:
    faults = settings_faults([DONE], {KEY: 1}, {}, VERSIONS)
    assert faults == ["markup of gold on EURUSD: 3 was set, stored is 1"]


def test_what_nobody_heard_of_may_be_done_late() -> None:
    late = Change("gold", "EURUSD", 1, unheard=1, is_done=True)
    assert settings_faults([late, DONE], {KEY: 1}, {}, VERSIONS) == []
    assert settings_faults([late, DONE], {KEY: 2}, {}, VERSIONS)


def test_a_gateway_that_has_others_is_found() -> None:
    assert settings_faults([DONE], STORED, {"gateway-1": {KEY: 1}}, VERSIONS)
    assert settings_faults([DONE], STORED, {"gateway-1": {}}, VERSIONS)


def test_a_shard_that_has_not_taken_them_over_is_found() -> None:
    faults = settings_faults([DONE], STORED, TOLD, [(0, 5), (1, 4)])
    assert faults == ["shard 1 has settings of version 4, the newest is 5"]
