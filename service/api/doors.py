"""Who is let in, and how often: a token first, then the account's bucket, then the address's.

A token must not be revoked; while it is not known what is, nobody is let in.

What an administrator asks counts nowhere, so that no trader's limit, even from the same address,
ever refuses a kill switch; what is refused for its token counts as a read of the address.
"""

from aiohttp import hdrs, web

from service.api.addresses import Addresses
from service.api.auth import Authenticator, Principal, Role
from service.api.errors import ApiError, TransportCode
from service.api.rates import Rates
from service.loops.answers import Unavailable
from service.loops.revocations import Revocations

RETRY_S = 1

_READS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})


class Doors:
    """Admits requests, streams and messages. All raise `ApiError`, RATE_LIMITED among its codes."""

    def __init__(
        self,
        authenticator: Authenticator,
        revocations: Revocations,
        rates: Rates,
        addresses: Addresses,
    ) -> None:
        self._authenticator = authenticator
        self._revocations = revocations
        self._rates = rates
        self._addresses = addresses

    def call(self, request: web.Request, role: Role) -> Principal:
        """Return the caller of a request to a route for `role`."""
        try:
            principal = self._not_revoked(self._authenticator.request(request, role))
        except ApiError:
            self.stranger(request)
            raise
        if principal.role is not Role.ADMIN:
            self._count(request, principal, is_command=request.method not in _READS)
        return principal

    def stream(self, request: web.Request) -> Principal:
        """Return the trader who opens a stream."""
        try:
            principal = self._not_revoked(self._authenticator.socket(request))
        except ApiError:
            self.stranger(request)
            raise
        self._count(request, principal, is_command=False)
        return principal

    def is_revoked(self, principal: Principal) -> bool:
        """Tell whether the token of a caller who was let in is revoked by now."""
        return self._revocations.is_revoked(
            principal.token_id, principal.accounts, principal.role, principal.issued_at
        )

    def message(self, principal: Principal) -> None:
        """Count a message on an open stream."""
        self._rates.account(principal.account_id, is_command=False)

    def stranger(self, request: web.Request) -> None:
        """Count a request that nobody is known to have sent."""
        self._rates.address(self._addresses.of(request), is_command=False)

    def _not_revoked(self, principal: Principal) -> Principal:
        if not self._revocations.is_known:
            raise Unavailable("it is not known yet which tokens are revoked: try again", RETRY_S)
        if self.is_revoked(principal):
            raise ApiError(TransportCode.REVOKED_TOKEN, "the token was revoked: get a new one")
        return principal

    def _count(self, request: web.Request, principal: Principal, *, is_command: bool) -> None:
        self._rates.account(principal.account_id, is_command=is_command)
        self._rates.address(self._addresses.of(request), is_command=is_command)
