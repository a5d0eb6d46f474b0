"""Secrets taken out of text before anyone can read it in a log.

Two ways: literals, the secrets this process knows; and shapes, what secrets of others look like:
passwords in addresses, bearer tokens, JSON web tokens, `password=...` and its like. A literal
shorter than `MIN_LITERAL` is not looked for: it would blank ordinary words. When in doubt it blanks
too much.
"""

import re
from urllib.parse import unquote

BLANK = "***"
MIN_LITERAL = 8
_KEYS = "password|passwd|pgpassword|secret|token|access_token|jwt_secret|authorization|api_key"
_SHAPES = (
    # scheme://user:password@host; a password may hold an @ itself.
    (re.compile(r"(\b[a-zA-Z][\w+.-]*://[^\s:/@]*:)\S*(?=@)"), rf"\1{BLANK}"),
    (re.compile(r"(?i)\b(bearer\s+)[\w.~+/=-]+"), rf"\1{BLANK}"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]*\.?[\w-]*"), BLANK),
    (re.compile(rf"(?i)\b((?:{_KEYS})\s*=\s*['\"]?)[^\s'\"&,;)]+"), rf"\1{BLANK}"),
    (re.compile(rf"(?i)((['\"])(?:{_KEYS})\2\s*:\s*['\"])[^'\"]+"), rf"\1{BLANK}"),
)


class Redaction:
    """Blanks secrets in text; those it knows itself may be added at any time."""

    def __init__(self) -> None:
        self._literals: tuple[str, ...] = ()

    def hide(self, secret: str) -> None:
        """Blank `secret` from now on, as it is and as it stands percent-decoded."""
        spellings = {each for each in (secret, unquote(secret)) if len(each) >= MIN_LITERAL}
        # The longest first: one may be part of another.
        self._literals = tuple(sorted({*self._literals, *spellings}, key=len, reverse=True))

    def clean(self, text: str) -> str:
        """Return `text` with its secrets blanked."""
        for literal in self._literals:
            text = text.replace(literal, BLANK)
        for shape, blank in _SHAPES:
            text = shape.sub(blank, text)
        return text
