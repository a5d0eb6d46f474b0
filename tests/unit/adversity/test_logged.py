"""Errors that were logged, counted by their words."""

import json

from tests.adversity.logged import WORDS, errors_of


def line(level: str, message: str) -> str:
    return json.dumps({"level": level, "message": message})


def test_errors_are_counted_and_nothing_else() -> None:
    log = "\n".join([line("ERROR", "odd"), line("INFO", "well"), "no line at all"])
    assert errors_of([log, line("CRITICAL", "odd")]) == {"odd": 2}


def test_a_server_that_is_away_is_left_out() -> None:
    assert errors_of([line("ERROR", "loop claims failed: Unreachable: it is away")]) == {}


def test_long_messages_are_told_apart_by_how_they_begin() -> None:
    log = "\n".join(line("ERROR", "x" * WORDS + end) for end in "ab")
    assert errors_of([log]) == {"x" * WORDS: 2}


def test_an_exception_is_told_by_its_last_line() -> None:
    log = {"level": "ERROR", "message": "odd", "exception": "Traceback:\n  somewhere\nBoom: no"}
    assert errors_of([json.dumps(log)]) == {"odd: Boom: no": 1}
