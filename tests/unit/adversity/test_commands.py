"""What may not become of a command: lost, done twice, done though refused, answered in two ways."""

import json
from typing import Any

from tests.adversity.commands import (
    FUND,
    Asked,
    Effect,
    StoredCommand,
    command_faults,
    effect_faults,
)

ORDER = {"order_id": 5, "status": "PENDING"}
EVENT = {"account_id": 7, "sequence": 3, "balance": "1.00", "margin": "0", "order": ORDER}
STORED = StoredCommand(7, "k", json.dumps(EVENT), 40)


def asked(**changes: Any) -> Asked:
    return Asked(7, "k", changes.pop("what", "place"), **changes)


def test_what_was_answered_is_stored() -> None:
    assert command_faults([asked(answer=ORDER, others=[ORDER])], [STORED]) == []


def test_money_is_answered_with_the_account() -> None:
    answer = {name: EVENT[name] for name in ("account_id", "balance", "margin", "sequence")}
    assert command_faults([asked(what=FUND, answer=answer)], [STORED]) == []


def test_what_was_answered_and_is_not_stored_is_found() -> None:
    (fault,) = command_faults([asked(answer=ORDER)], [])
    assert "was done, and is lost" in fault


def test_what_is_stored_otherwise_than_answered_is_found() -> None:
    (fault,) = command_faults([asked(answer=ORDER | {"order_id": 6})], [STORED])
    assert "was answered" in fault


def test_a_second_answer_of_another_kind_is_found() -> None:
    (fault,) = command_faults([asked(answer=ORDER, others=[{"code": "NO"}])], [STORED])
    assert "asked again" in fault


def test_what_was_refused_and_is_done_is_found() -> None:
    (fault,) = command_faults([asked(refusal="NO_QUOTE")], [STORED])
    assert "was refused (NO_QUOTE), and is done" in fault


def test_an_attempt_nobody_heard_of_may_be_done_after_another_was_refused() -> None:
    assert command_faults([asked(refusal="NO_QUOTE", unheard=1)], [STORED]) == []


def test_what_has_no_answer_may_be_done_or_not() -> None:
    assert command_faults([asked()], [STORED]) == []
    assert command_faults([asked()], []) == []


def test_every_effect_has_its_key() -> None:
    assert effect_faults([Effect(7, 40, "PLACED")], [STORED]) == []


def test_an_effect_without_a_key_is_found() -> None:
    (fault,) = effect_faults([Effect(7, 40, "PLACED"), Effect(7, 44, "PLACED")], [STORED])
    assert "event 44: done for the keys []" in fault


def test_an_effect_of_two_keys_is_found() -> None:
    faults = effect_faults([Effect(7, 40, "PLACED")], [STORED, STORED._replace(key="other")])
    assert faults == ["PLACED of account 7, event 40: done for the keys ['k', 'other']"]


def test_an_effect_on_another_account_is_found() -> None:
    assert effect_faults([Effect(8, 40, "PLACED")], [STORED])


def test_a_key_without_an_effect_is_found() -> None:
    assert effect_faults([], [STORED]) == ["key k of account 7 names event 40, which has no effect"]
