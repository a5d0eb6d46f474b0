"""How often who may ask: the buckets against a plain count, and the answers of the gateway."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api import rates
from service.api.addresses import parse_networks
from service.api.auth import Role
from service.api.rates import BURST_S, Buckets, RateLimits
from tests.unit.api.market import OTHER, TRADER
from tests.unit.api.world import World, bearer, token

LOOPBACK = parse_networks("127.0.0.0/8")


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.integers(0, 3_000), max_size=200))
def test_no_more_is_taken_than_a_bucket_holds_and_is_filled_with(pauses_ms: list[int]) -> None:
    clock = Clock()
    buckets = Buckets[str](2.0, clock)
    taken: deque[float] = deque()
    for pause_ms in pauses_ms:
        clock.now += pause_ms / 1_000
        wait_s = buckets.take("x")
        if not wait_s:
            taken.append(clock.now)
        else:
            clock.now += wait_s
            assert not buckets.take("x"), "what it says to wait is enough"
            taken.append(clock.now)
    for start in range(len(taken)):
        for end in range(start, len(taken)):
            held = 2.0 * (BURST_S + taken[end] - taken[start])
            assert end - start + 1 <= held + 1e-3


def test_the_keys_do_not_share_a_bucket() -> None:
    buckets = Buckets[int](1.0, Clock())
    assert [buckets.take(17) > 0 for _ in range(6)] == [False] * 5 + [True]
    assert not buckets.take(18)


def test_a_bucket_that_fills_slowly_still_holds_one() -> None:
    clock = Clock()
    buckets = Buckets[int](0.01, clock)
    assert not buckets.take(17)
    assert buckets.take(17) == pytest.approx(100)
    clock.now += 100
    assert not buckets.take(17)


def test_buckets_that_are_full_again_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    buckets = Buckets[int](1.0, clock)
    for key in range(1_000):
        buckets.take(key)
    assert len(buckets) == 1_000
    clock.now += BURST_S
    for key in range(1_000, 1_600):
        buckets.take(key)
    assert len(buckets) == 600
    monkeypatch.setattr(rates, "MAX_BUCKETS", 10)
    for key in range(2_000, 4_000):
        buckets.take(key)
    assert len(buckets) <= 10


async def test_an_account_is_told_to_wait_and_others_are_not_held_up() -> None:
    async with World(rates=RateLimits(account_commands_per_s=0.5)) as world:
        for _ in range(2):
            assert (await world.call("DELETE", "/orders/1"))[0] == 404
        async with world.client.delete("/api/v1/orders/1", headers=bearer(token())) as response:
            problem = await response.json(content_type="application/problem+json")
        assert (response.status, problem["code"]) == (429, "RATE_LIMITED")
        assert 1 <= int(response.headers["Retry-After"]) <= 2
        assert problem["detail"].startswith("an account may send 0.5 commands a second: wait ")
        assert (await world.call("GET", "/account"))[0] == 200, "reads are counted apart"
        assert (await world.call("DELETE", "/orders/1", account_id=OTHER))[0] == 404
        for _ in range(20):  # of the same account's number and address, but an administrator
            status, _ = await world.admin(
                "PUT", "/groups/gold/trading-state", {"state": "halted", "reason": "a test"}
            )
            assert status == 200


async def test_reads_are_counted_whatever_their_token() -> None:
    async with World(rates=RateLimits(account_reads_per_s=0.2)) as world:
        for expected in (200, 429):
            headers = bearer(token(ttl_s=60 + expected))
            async with world.client.get("/api/v1/account", headers=headers) as response:
                assert response.status == expected


@pytest.mark.parametrize("path", ["/api/v1/account", "/nowhere", "/openapi.json", "/api/v1/stream"])
async def test_strangers_are_counted_by_their_address(path: str) -> None:
    async with World(rates=RateLimits(address_reads_per_s=0.2)) as world:
        async with world.client.get(path) as response:
            assert response.status in (200, 401, 404)
        async with world.client.get(path) as response:
            assert response.status == 429
        assert (await world.admin("GET", "/groups"))[0] == 200
        status, problem = await world.call("GET", "/account")
        assert status == 429
        assert "an address" in problem["detail"]


async def test_a_trader_who_uses_an_admin_route_is_counted() -> None:
    async with World(rates=RateLimits(address_reads_per_s=0.2)) as world:
        for expected in (403, 429):
            assert (await world.call("GET", "/admin/groups", role=Role.TRADER))[0] == expected


async def test_behind_a_trusted_proxy_everybody_has_his_own_address() -> None:
    limits = RateLimits(address_reads_per_s=0.2)
    async with World(rates=limits, proxies=LOOPBACK) as world:

        async def ask(forwarded: str) -> int:
            headers = bearer(token(TRADER)) | {"X-Forwarded-For": forwarded}
            async with world.client.get("/api/v1/account", headers=headers) as response:
                return response.status

        assert await ask("203.0.113.7") == 200
        assert await ask("198.51.100.1, 203.0.113.7") == 429, "what a client says is not believed"
        assert await ask("203.0.113.8") == 200
        assert await ask("203.0.113.8, 127.0.0.1") == 429, "a proxy before the last is passed over"
        assert await ask("2001:db8::1") == 200
        assert await ask("2001:db8::2") == 429, "one customer's network"
        for _ in range(3):
            assert (await world.call("GET", "/account"))[0] == 200, "this machine's own tools"


async def test_who_is_no_proxy_is_not_believed() -> None:
    async with World(rates=RateLimits(address_reads_per_s=0.2)) as world:
        for number, expected in enumerate((200, 429)):
            headers = bearer(token()) | {"X-Forwarded-For": f"203.0.113.{number}"}
            async with world.client.get("/api/v1/account", headers=headers) as response:
                assert response.status == expected


async def test_messages_on_a_stream_are_counted_and_the_socket_lives() -> None:
    async with World(rates=RateLimits(account_reads_per_s=0.6)) as world, world.stream() as socket:
        await socket.receive_json()
        answers = []
        for _ in range(3):
            await socket.send_json({"type": "ping"})
            answers.append(await socket.receive_json())
        assert [each["type"] for each in answers] == ["pong", "pong", "error"]
        assert answers[-1]["code"] == "RATE_LIMITED"
        assert "wait" in answers[-1]["detail"]
        sequence = world.board.publish("gold", EURUSD="1.1")
        assert (await socket.receive_json())["sequence"] == sequence
