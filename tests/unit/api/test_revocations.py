"""Tokens that are not believed any more: over REST, on open streams, and who may say so."""

import time
from typing import Any

import pytest
from aiohttp import WSMsgType
from msgspec.structs import replace

from service.api.auth import Authenticator, Principal, Role
from service.loops.requests import Author
from service.storage.errors import Unreachable
from service.storage.revocations import TooManyRevocations
from tests.support import eventually
from tests.unit.api.market import OTHER, TRADER
from tests.unit.api.test_auth import signed
from tests.unit.api.world import World, bearer, token

WHY = {"reason": "a lost laptop"}


async def revoke(world: World, **body: Any) -> tuple[int, Any]:
    return await world.admin("POST", "/revocations", WHY | body)


async def ask(world: World, token: str, path: str = "/api/v1/account") -> tuple[int, str | None]:
    async with world.client.get(path, headers=bearer(token)) as response:
        return response.status, (await response.json(content_type=None)).get("code")


async def test_one_token_is_revoked_by_its_id_and_no_other(world: World) -> None:
    lost, kept = signed(jti="lost"), signed(jti="kept")
    assert await ask(world, lost) == (200, None)
    status, told = await revoke(world, token_id="lost")
    assert (status, told["token_id"], told["account_id"]) == (201, "lost", None)
    assert told["revoked_at"] < told["expires_at"]
    assert await ask(world, lost) == (401, "REVOKED_TOKEN")
    assert await ask(world, lost, "/api/v1/stream") == (401, "REVOKED_TOKEN")
    assert await ask(world, kept) == (200, None)
    assert await ask(world, signed()) == (200, None), "a token without an id"


async def test_all_tokens_that_an_account_has_had_are_revoked(world: World) -> None:
    several = token(OTHER, others=[TRADER])
    tokens = [token(), signed(), signed(iat=time.time()), signed(iat=int(time.time()))]
    status, told = await revoke(world, account_id=TRADER)
    assert (status, told["role"]) == (201, "trader")
    for each in tokens:
        assert await ask(world, each) == (401, "REVOKED_TOKEN")
    assert await ask(world, several, "/api/v1/stream") == (401, "REVOKED_TOKEN")
    assert await ask(world, token(OTHER)) == (200, None)
    assert await ask(world, token()) == (200, None), "a new one"
    admin = token(role=Role.ADMIN)
    assert await ask(world, admin, "/api/v1/admin/groups") == (200, None)
    await revoke(world, account_id=TRADER, role="admin")
    assert await ask(world, admin, "/api/v1/admin/groups") == (401, "REVOKED_TOKEN")


async def test_it_is_audited_and_listed(world: World) -> None:
    await revoke(world, token_id="one")
    await revoke(world, account_id=TRADER)
    assert [tuple(each)[1:] for each in world.revoked.audit] == [
        ("revoke", "token one", "a lost laptop"),
        ("revoke", f"trader tokens of account {TRADER}", "a lost laptop"),
    ]
    _, first = await world.admin("GET", "/revocations?limit=1")
    assert [each["account_id"] for each in first["revocations"]] == [TRADER]
    _, last = await world.admin("GET", f"/revocations?limit=1&cursor={first['next_cursor']}")
    assert [each["token_id"] for each in last["revocations"]] == ["one"]
    assert last["next_cursor"] is None


@pytest.mark.parametrize(
    "body", [{}, {"token_id": "x", "account_id": 17}, {"token_id": ""}, {"account_id": 0}]
)
async def test_it_must_be_said_what_is_revoked(world: World, body: dict[str, Any]) -> None:
    status, problem = await revoke(world, **body)
    assert (status, problem["code"]) == (422, "VALIDATION_FAILED")
    assert not world.revoked.rows


async def test_open_streams_of_a_revoked_token_are_closed(world: World) -> None:
    async with (
        world.stream() as gone,
        world.stream(OTHER, TRADER) as also,
        world.stream(OTHER) as on,
    ):
        for socket in (gone, also, also, on):
            assert (await socket.receive_json())["type"] == "snapshot"
        await revoke(world, account_id=TRADER)
        for socket in (gone, also):
            message = await socket.receive()
            assert message.type is WSMsgType.CLOSE
            assert (socket.close_code, message.extra) == (4403, "the token was revoked")
        await on.send_json({"type": "ping"})
        assert (await on.receive_json())["type"] == "pong"
        name = "tapewatch_websocket_connections_closed_total"
        await eventually(lambda: world.samples(name) == {f'{name}{{reason="revoked"}}': 2})


async def test_a_stream_that_opens_meanwhile_is_closed_too(world: World) -> None:
    static_orders = world.portfolios.static_orders

    async def meanwhile(account_id: int) -> Any:
        await revoke(world, account_id=TRADER)
        return await static_orders(account_id)

    world.portfolios.static_orders = meanwhile  # type: ignore[method-assign]
    async with world.stream() as socket:
        while (await socket.receive()).type is WSMsgType.TEXT:
            pass
        assert socket.close_code == 4403


async def test_opening_a_stream_does_not_judge_those_that_are_open(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.stream() as open_one:
        await open_one.receive_json()
        judged: list[tuple[int, ...]] = []
        original = Authenticator.is_revoked

        def is_revoked(self: Authenticator, principal: Principal) -> bool:
            judged.append(tuple(principal.accounts))
            return original(self, principal)

        monkeypatch.setattr(Authenticator, "is_revoked", is_revoked)
        async with world.stream(OTHER) as new:
            await new.receive_json()
        assert set(judged) == {(OTHER,)}


async def test_what_others_revoke_is_learnt_and_what_has_expired_forgotten(world: World) -> None:
    other = World()
    lost = signed(jti="lost")
    await other.revocations.revoke_token("lost", Author("1", "elsewhere"))
    await other.revocations.revoke_account(TRADER, "trader", Author("1", "elsewhere"))
    world.revoked.rows = other.revoked.rows
    assert await ask(world, lost) == (200, None)
    await world.revocations.run_once()
    assert await ask(world, lost) == (401, "REVOKED_TOKEN")
    assert len(world.revocations) == 2
    world.revoked.rows = [replace(each, expires_at=1) for each in world.revoked.rows]
    again = World()
    again.revoked.rows = world.revoked.rows
    await again.revocations.run_once()
    await again.revocations.run_once()
    assert len(again.revocations) == 0


async def test_until_it_is_known_what_is_revoked_nobody_is_let_in(world: World) -> None:
    world.revocations.is_known = False
    world.revoked.failure = Unreachable()
    with pytest.raises(Unreachable):
        await world.revocations.run_once()
    assert await ask(world, token()) == (503, "UNAVAILABLE")
    assert (await revoke(world, token_id="x"))[0] == 503
    world.revoked.failure = None
    await world.revocations.run_once()
    assert await ask(world, token()) == (200, None)


@pytest.mark.parametrize(("failure", "status"), [(Unreachable(), 503), (TooManyRevocations(), 422)])
async def test_what_cannot_be_stored_is_not_revoked(
    world: World, failure: Exception, status: int
) -> None:
    world.revoked.failure = failure
    assert (await revoke(world, token_id="lost"))[0] == status
    assert await ask(world, signed(jti="lost")) == (200, None)


@pytest.mark.parametrize("claims", [{"jti": 7}, {"iat": "now"}, {"iat": -1}, {"iat": 2.0**40}])
async def test_a_token_with_an_odd_id_or_time_is_invalid(
    world: World, claims: dict[str, Any]
) -> None:
    assert await ask(world, signed(**claims)) == (401, "INVALID_TOKEN")
