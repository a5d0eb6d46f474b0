"""Secrets are blanked by what they are and by what they look like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.redaction import Redaction

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("cannot reach postgresql://tape:pass@db/x", "cannot reach postgresql://tape:***@db/x"),
        ("redis://:p@ss@cache:6379/0 is away", "redis://:***@cache:6379/0 is away"),
        ("Authorization: Bearer abc.def-1", "Authorization: Bearer ***"),
        (f"token {TOKEN} has expired", "token *** has expired"),
        ("dsn host=db password=hunter2 user=tape", "dsn host=db password=*** user=tape"),
        ("?token=abc&account=1", "?token=***&account=1"),
        ("{'password': 'hunter2', 'user': 'x'}", "{'password': '***', 'user': 'x'}"),
        ('{"secret":"hunter2"}', '{"secret":"***"}'),
        ("API on http://127.0.0.1:8080/api/v1", "API on http://127.0.0.1:8080/api/v1"),
        ("the token has expired", "the token has expired"),
        ("order 7 of account 9: NO_QUOTE", "order 7 of account 9: NO_QUOTE"),
    ],
)
def test_what_looks_like_a_secret_is_blanked(text: str, cleaned: str) -> None:
    assert Redaction().clean(text) == cleaned


def test_a_known_secret_is_blanked_wherever_and_however_it_stands() -> None:
    redaction = Redaction()
    redaction.hide("open%40sesame")
    assert redaction.clean("tried open%40sesame, then open@sesame!") == "tried ***, then ***!"


def test_a_short_literal_does_not_blank_ordinary_words() -> None:
    redaction = Redaction()
    redaction.hide("tape")
    assert redaction.clean("tapewatch") == "tapewatch"


@given(
    st.text(st.characters(categories=["L", "N"]), min_size=8),
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_a_known_secret_is_never_left(secret: str, before: str, after: str) -> None:
    redaction = Redaction()
    redaction.hide(secret)
    assert secret not in redaction.clean(f"{before} {secret} {after}")
