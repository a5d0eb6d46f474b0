"""How the background loops of this process are, for administrators; a standby answers too."""

from service.api.auth import Role
from service.api.calls import Answer, Call, Route
from service.api.replies import LoopsReply

LOOPS = "/api/v1/admin/loops"


async def list_loops(call: Call[None, None]) -> Answer:
    return Answer(200, LoopsReply(loops=call.services.loops.statuses()))


ROUTES = (
    Route(
        "GET",
        LOOPS,
        "Show how every background loop is",
        list_loops,
        Role.ADMIN,
        {200: LoopsReply},
    ),
)
