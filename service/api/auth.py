"""Who is calling: bearer tokens, JWT signed with HS256 and nothing else.

Claims: `sub` is the account id, `role` trader or admin, `exp` is required. A token is revoked by
its `jti`, or by its account and `iat`, without which it counts as issued long ago. A trader's may
cover several accounts, `accounts`, of which `sub` is one: it opens streams of all of them over one
socket, and nothing else, so that no order is ever dealt for another account than was meant.

A token comes in the Authorization header. A browser cannot set that for a WebSocket, so there it
may offer the subprotocols `tapewatch.v1, bearer.<jwt>`; only the first is ever answered. A token in
a URL ends up in logs and histories, so it is refused.
"""

import re
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeGuard

import jwt
from aiohttp import web
from jwt.types import Options

from service.api.errors import ApiError, TransportCode
from service.loops.answers import Unavailable
from service.loops.revocations import Revocations

ALGORITHM = "HS256"
MIN_SECRET_BYTES = 32
MAX_TOKEN_LENGTH = 4096
MAX_TOKEN_S = 24 * 3600.0
SUBPROTOCOL = "tapewatch.v1"
TOKEN_SUBPROTOCOL = "bearer."
TOKEN_PARAMETERS = frozenset({"token", "access_token", "jwt", "authorization"})
MAX_ACCOUNT_ID = 2**63 - 1
MAX_ACCOUNTS = 32
TOKEN_ID_BYTES = 12
CLOCK_SKEW_S = 60.0
RETRY_S = 1

_OPTIONS: Options = {"require": ["exp", "sub", "role"], "verify_iat": False}
_LATEST_S = 2**33
_ACCOUNT_ID = re.compile(r"[1-9][0-9]{0,18}")


class Role(StrEnum):
    TRADER = "trader"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller; `accounts` are all the token covers.

    `expires_at` is Unix time in seconds, `issued_at` in ns.
    """

    account_id: int
    role: Role
    expires_at: float
    accounts: tuple[int, ...]
    token_id: str | None = None
    issued_at: int = 0


def issue_token(
    secret: str, account_id: int, role: Role, ttl_s: float, *, others: Sequence[int] = ()
) -> str:
    """Return a token that is valid for `ttl_s` seconds; `others` are accounts it covers as well.

    Raises:
        ValueError: the secret is shorter than 32 bytes, or these accounts make no token.
    """
    check_secret(secret)
    claims: dict[str, object] = {
        "sub": str(account_id),
        "role": str(role),
        "iat": time.time(),
        "exp": int(time.time() + ttl_s),
        "jti": secrets.token_urlsafe(TOKEN_ID_BYTES),
    }
    if others:
        accounts = [account_id, *others]
        if role is not Role.TRADER or not _are_accounts(accounts):
            raise ValueError(f"a trader's token may cover 1 to {MAX_ACCOUNTS} different accounts")
        claims["accounts"] = accounts
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def _are_accounts(claim: object) -> TypeGuard[list[int]]:
    return (
        isinstance(claim, list)
        and 1 <= len(claim) <= MAX_ACCOUNTS
        and all(type(each) is int and 1 <= each <= MAX_ACCOUNT_ID for each in claim)
        and len(set(claim)) == len(claim)
    )


def check_secret(secret: str) -> None:
    """Raise ValueError for a signing secret that is too short to be one."""
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"the signing secret must have at least {MIN_SECRET_BYTES} bytes")


class Authenticator:
    """Checks tokens against the secret that signs them, the one before it, and what is revoked.

    While it is not known what is revoked, nobody is let in.

    A token that lives on for more than `max_token_s` is refused: what is known of revoked tokens
    need not be known for longer.
    """

    def __init__(
        self,
        secret: str,
        revocations: Revocations,
        previous: str | None = None,
        max_token_s: float = MAX_TOKEN_S,
    ) -> None:
        self._revocations = revocations
        self._secrets = [secret] if previous is None else [secret, previous]
        for each in self._secrets:
            check_secret(each)
        self._max_token_s = max_token_s

    def request(self, request: web.Request, role: Role) -> Principal:
        """Return the caller of a request.

        Raises:
            ApiError: MISSING_TOKEN, INVALID_TOKEN, EXPIRED_TOKEN, or FORBIDDEN for another role or
                a token of several accounts.
        """
        principal = self._admit(_header_token(request), role)
        if len(principal.accounts) > 1:
            raise ApiError(
                TransportCode.FORBIDDEN,
                "a token of several accounts is for the stream: send one of the account you mean",
            )
        return principal

    def socket(self, request: web.Request) -> Principal:
        """Return the trader who opens a WebSocket, by header or subprotocol; errors as above."""
        offered = _offered_subprotocols(request)
        tokens = [each for each in offered if each.startswith(TOKEN_SUBPROTOCOL)]
        if offered and SUBPROTOCOL not in offered:
            raise ApiError(
                TransportCode.BAD_REQUEST, f"offer the subprotocol {SUBPROTOCOL}, or none at all"
            )
        token = _header_token(request)
        if token is None and len(tokens) == 1:
            token = tokens[0].removeprefix(TOKEN_SUBPROTOCOL)
        elif tokens:
            raise ApiError(TransportCode.INVALID_TOKEN, "send one token, in one place")
        return self._admit(token, Role.TRADER)

    def is_revoked(self, principal: Principal) -> bool:
        """Tell whether the token of a caller who was let in is revoked by now."""
        return self._revocations.is_revoked(
            principal.token_id, principal.accounts, principal.role, principal.issued_at
        )

    def _admit(self, token: str | None, role: Role) -> Principal:
        if token is None:
            raise ApiError(
                TransportCode.MISSING_TOKEN, "send a token in the header Authorization: Bearer ..."
            )
        principal = self._verify(token)
        if not self._revocations.is_known:
            raise Unavailable("it is not known yet which tokens are revoked: try again", RETRY_S)
        if self.is_revoked(principal):
            raise ApiError(TransportCode.REVOKED_TOKEN, "the token was revoked: get a new one")
        if principal.role is not role:
            raise ApiError(TransportCode.FORBIDDEN, f"this needs a token with the role {role}")
        return principal

    def _verify(self, token: str) -> Principal:
        if len(token) > MAX_TOKEN_LENGTH:
            raise _invalid("the token is too long")
        if not token.isascii():
            raise _invalid("the token is malformed or its signature is wrong")
        try:
            claims = self._decode(token)
        except jwt.ExpiredSignatureError:
            raise ApiError(
                TransportCode.EXPIRED_TOKEN, "the token has expired: get a new one"
            ) from None
        except jwt.MissingRequiredClaimError as error:
            raise _invalid(f"the token has no claim {error.claim}") from None
        except jwt.InvalidTokenError:
            raise _invalid("the token is malformed or its signature is wrong") from None
        subject, role = claims["sub"], claims["role"]
        if not _ACCOUNT_ID.fullmatch(subject) or int(subject) > MAX_ACCOUNT_ID:
            raise _invalid("the token's sub must be an account id")
        if role not in tuple(Role):
            raise _invalid("the token's role must be trader or admin")
        expires_at = _seconds(claims, "exp")
        if expires_at > time.time() + self._max_token_s + CLOCK_SKEW_S:
            raise _invalid(f"the token lives too long: for {self._max_token_s / 3600:g} h at most")
        account_id = int(subject)
        accounts = claims.get("accounts", [account_id])
        if not _are_accounts(accounts) or account_id not in accounts:
            raise _invalid(
                f"the token's accounts must be 1 to {MAX_ACCOUNTS} different account ids, "
                "its sub among them"
            )
        if len(accounts) > 1 and role != Role.TRADER:
            raise _invalid("only a trader's token may cover several accounts")
        return Principal(
            account_id,
            Role(role),
            expires_at,
            tuple(accounts),
            claims.get("jti"),
            _issued_at(claims),
        )

    def _decode(self, token: str) -> dict[str, Any]:
        for secret in self._secrets:
            with suppress(jwt.InvalidSignatureError):
                return jwt.decode(token, secret, algorithms=[ALGORITHM], options=_OPTIONS)
        raise jwt.InvalidSignatureError


def _issued_at(claims: Mapping[str, object]) -> int:
    if "iat" not in claims:
        return 0
    issued_at = _seconds(claims, "iat")
    # Else it would outlive what revokes all that its account has had until now.
    if issued_at > time.time() + CLOCK_SKEW_S:
        raise _invalid("the token's iat is in the future: set the clock of who issues it")
    return int(issued_at * 1_000_000_000)


def _seconds(claims: Mapping[str, object], name: str) -> float:
    claim = claims[name]
    if not isinstance(claim, int | float) or not 0 <= claim < _LATEST_S:
        raise _invalid(f"the token's {name} must be a time, in seconds since 1970")
    return float(claim)


def refuse_token_in_url(request: web.Request) -> None:
    """Raise TOKEN_IN_URL where a query parameter looks like a token."""
    found = TOKEN_PARAMETERS & {name.lower() for name in request.query}
    if found:
        raise ApiError(
            TransportCode.TOKEN_IN_URL,
            f"never put a token in a URL (here: {', '.join(sorted(found))}): URLs are logged. "
            "Send it in the header Authorization: Bearer ..., and replace this one",
        )


def _invalid(detail: str) -> ApiError:
    return ApiError(TransportCode.INVALID_TOKEN, detail)


def _header_token(request: web.Request) -> str | None:
    headers = request.headers.getall("Authorization", [])
    if not headers:
        return None
    scheme, _, token = headers[0].partition(" ")
    if len(headers) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise _invalid("the header must read Authorization: Bearer <token>, once")
    return token.strip()


def _offered_subprotocols(request: web.Request) -> list[str]:
    values = request.headers.getall("Sec-WebSocket-Protocol", [])
    return [each.strip() for value in values for each in value.split(",") if each.strip()]
