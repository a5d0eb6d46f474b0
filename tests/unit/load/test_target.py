"""The service under load: what it is asked beside trading, and what is said where it refuses."""

import pytest
from aiohttp import web

from service.api.ops import build_ops
from service.api.readiness import Readiness
from service.api.serving import runner_of
from service.load.errors import CannotLoad
from service.load.target import Target
from tests.support import free_port
from tests.unit.api.market import TRADER
from tests.unit.api.world import HOST, SECRET, World, token


def target_of(port: int, ops_port: int) -> Target:
    return Target(HOST, port, HOST, ops_port, "ws://127.0.0.1:1", SECRET)


async def test_it_tells_its_symbols_and_prices() -> None:
    async with World() as world:
        target = target_of(world.port, free_port())
        async with target.session(1) as session:
            symbols = await target.symbols(session, token(TRADER))
            prices = await target.prices(session, token(TRADER))
    assert [each.symbol for each in symbols] == ["EURPLN", "EURUSD", "USDJPY", "XAUUSD"]
    assert [each.symbol for each in prices] == ["EURUSD", "USDJPY"]


@pytest.mark.parametrize(
    ("account_id", "why"),
    [
        (None, "answers 401: its signing secret is another one"),
        (4711, "answers 404: there is no such account"),
    ],
)
async def test_a_refusal_is_explained(account_id: int | None, why: str) -> None:
    who = "nonsense" if account_id is None else token(account_id)
    async with World() as world:
        target = target_of(world.port, free_port())
        async with target.session(1) as session:
            with pytest.raises(CannotLoad, match=why):
                await target.symbols(session, who)


async def test_silence_is_explained() -> None:
    target = target_of(free_port(), free_port())
    async with target.session(1) as session:
        with pytest.raises(CannotLoad, match="set TAPEWATCH_HOST and TAPEWATCH_PORT"):
            await target.prices(session, token(TRADER))
        with pytest.raises(CannotLoad, match="set TAPEWATCH_OPS_HOST and TAPEWATCH_OPS_PORT"):
            await target.readiness(session)


async def test_something_else_is_no_service() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"hello": "there"})

    app = web.Application()
    app.router.add_get("/api/v1/quotes", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        target = target_of(runner.addresses[0][1], free_port())
        async with target.session(1) as session:
            with pytest.raises(CannotLoad, match="no Tapewatch of this version"):
                await target.prices(session, token(TRADER))
    finally:
        await runner.cleanup()


async def test_it_says_why_it_is_not_ready() -> None:
    leading = False
    readiness = Readiness(lambda: leading)

    async def well() -> tuple[bool, str]:
        return True, "of course"

    readiness.register("database", well)
    async with World() as world:
        runner = runner_of(build_ops(world.instruments, readiness, world.supervisor))
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, 0).start()
            target = target_of(world.port, runner.addresses[0][1])
            async with target.session(1) as session:
                reason = await target.readiness(session)
                assert reason is not None
                assert "standby" in reason
                assert "database: of course" in reason
                assert (await target.scrape(session)).counters
        finally:
            await runner.cleanup()


def test_its_secrets_are_not_shown() -> None:
    assert SECRET not in repr(target_of(1, 2))
