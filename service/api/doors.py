"""Who is let in, and how often: a token first, then the account's bucket, then the address's.

What an administrator asks counts nowhere, so that no trader's limit, even from the same address,
ever refuses a kill switch; what is refused for its token counts as a read of the address.
"""

from aiohttp import hdrs, web

from service.api.addresses import Addresses
from service.api.auth import Authenticator, Principal, Role
from service.api.errors import ApiError
from service.api.rates import Rates

_READS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})


class Doors:
    """Admits requests, streams and messages. All raise `ApiError`, RATE_LIMITED among its codes."""

    def __init__(self, authenticator: Authenticator, rates: Rates, addresses: Addresses) -> None:
        self._authenticator = authenticator
        self._rates = rates
        self._addresses = addresses

    def call(self, request: web.Request, role: Role) -> Principal:
        """Return the caller of a request to a route for `role`."""
        try:
            principal = self._authenticator.request(request, role)
        except ApiError:
            self.stranger(request)
            raise
        if principal.role is not Role.ADMIN:
            self._count(request, principal, is_command=request.method not in _READS)
        return principal

    def stream(self, request: web.Request) -> Principal:
        """Return the trader who opens a stream."""
        try:
            principal = self._authenticator.socket(request)
        except ApiError:
            self.stranger(request)
            raise
        self._count(request, principal, is_command=False)
        return principal

    def is_revoked(self, principal: Principal) -> bool:
        """Tell whether the token of a caller who was let in is revoked by now."""
        return self._authenticator.is_revoked(principal)

    def message(self, principal: Principal) -> None:
        """Count a message on an open stream."""
        self._rates.account(principal.account_id, is_command=False)

    def stranger(self, request: web.Request) -> None:
        """Count a request that nobody is known to have sent."""
        self._rates.address(self._addresses.of(request), is_command=False)

    def _count(self, request: web.Request, principal: Principal, *, is_command: bool) -> None:
        self._rates.account(principal.account_id, is_command=is_command)
        self._rates.address(self._addresses.of(request), is_command=is_command)
