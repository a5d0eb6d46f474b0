"""What is told of a loop's errors: enough to act on, on one line, and no secret."""

import pytest

from service.loops.loop_status import ERROR_LENGTH, describe_error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("bad"), "ValueError: bad"),
        (TimeoutError(), "TimeoutError"),
        (ValueError("one\n  two"), "ValueError: one two"),
        (ExceptionGroup("both", [ExceptionGroup("one", [KeyError("x")])]), "KeyError: 'x'"),
        (ExceptionGroup("both", [KeyError(), KeyError()]), "ExceptionGroup: both (2 sub-exc"),
    ],
)
def test_an_error_is_told_by_its_type_and_text(error: BaseException, told: str) -> None:
    assert describe_error(error).startswith(told)
    assert "\n" not in describe_error(error)


@pytest.mark.parametrize(
    "text",
    [
        "cannot connect to postgresql://me:hidden@db/x",
        "cannot connect to redis://:hidden@cache/0",
        "cannot connect to postgresql://me:hid@hidden@db/x?sslmode=no",
        "host=db password=hidden dbname=x",
        "Password: hidden",
    ],
)
def test_credentials_are_not_told(text: str) -> None:
    assert "hidden" not in describe_error(OSError(text))


def test_a_long_text_is_cut() -> None:
    assert len(describe_error(ValueError("x" * 10_000))) == ERROR_LENGTH
