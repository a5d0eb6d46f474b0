"""Revocation of tokens: one by its id, or all that an account has had until now.

A revoked token is refused at once by the process that was asked, by all others within seconds, and
open streams of it are closed. It takes no leader: a standby revokes as well.
"""

from service.api.auth import Role
from service.api.calls import Answer, Call, Route
from service.api.errors import ApiError, TransportCode
from service.api.paging import cut_page, read_cursor
from service.api.replies import RevocationsPage
from service.api.requests import NewRevocation, PageQuery
from service.domain.rejection import RejectCode
from service.storage.revocations import RevocationView, revocation_view

REVOCATIONS = "/api/v1/admin/revocations"

_ADMIN = Role.ADMIN


async def revoke(call: Call[NewRevocation, None]) -> Answer:
    body, revocations = call.body, call.services.revocations
    author = call.author(body.reason)
    if (body.token_id is None) == (body.account_id is None):
        raise ApiError(
            TransportCode.VALIDATION_FAILED, "send either token_id or account_id", "token_id"
        )
    with call.counted("admin"):
        if body.token_id is not None:
            revoked = await revocations.revoke_token(body.token_id, author)
        else:
            assert body.account_id is not None
            revoked = await revocations.revoke_account(body.account_id, body.role, author)
    return Answer(201, revocation_view(revoked))


async def list_revocations(call: Call[None, PageQuery]) -> Answer:
    limit = call.query.limit
    before = read_cursor("revocations", call.query.cursor)
    found = await call.services.revocations.page(limit + 1, before)
    page, cursor = cut_page("revocations", found, limit, lambda each: each.revocation_id)
    return Answer(
        200,
        RevocationsPage(revocations=[revocation_view(each) for each in page], next_cursor=cursor),
    )


ROUTES = (
    Route(
        "POST",
        REVOCATIONS,
        "Revoke a token, or all that an account has had until now",
        revoke,
        _ADMIN,
        {201: RevocationView},
        body=NewRevocation,
        errors=(RejectCode.INVALID_SETTINGS,),
    ),
    Route(
        "GET",
        REVOCATIONS,
        "List what is revoked and would not have expired yet, newest first",
        list_revocations,
        _ADMIN,
        {200: RevocationsPage},
        query=PageQuery,
    ),
)
