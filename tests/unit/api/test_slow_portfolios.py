"""What a slow client is told of its worth: the newest, and nothing that is out of date."""

from tests.unit.api.market import TRADER
from tests.unit.api.test_socket import LIMITS, connect, fill, on_both_loops, small_socket
from tests.unit.api.test_watched_accounts import BUY
from tests.unit.api.world import World


@on_both_loops
async def test_a_slow_client_gets_the_newest_portfolio_alone() -> None:
    async with World(LIMITS) as world:
        await world.call("POST", "/orders", BUY)
        with small_socket() as connection:
            slow = await connect(world, connection, TRADER)
            await fill(world)
            for points in range(20):
                world.trading.quote("EURUSD", 108_600 + points, 108_610 + points)
                await world.push()
            last = world.board.publish("gold", EURUSD="1.2")
            portfolios = []
            quotes_end = False
            async for message in slow.messages():
                if message["type"] == "portfolio":
                    portfolios.append(message)
                elif message["type"] == "quotes":
                    quotes_end = message["sequence"] == last
                if portfolios and quotes_end:
                    break
            assert [each["positions"][0]["price"] for each in portfolios] == ["1.08618"]


@on_both_loops
async def test_a_waiting_portfolio_gives_way_to_what_happened_since() -> None:
    async with World(LIMITS) as world:
        await world.call("POST", "/orders", BUY)
        with small_socket() as connection:
            slow = await connect(world, connection, TRADER)
            await fill(world)
            await world.push()
            await world.call("POST", "/orders", BUY)
            world.board.publish("gold", EURUSD="1.2")
            kinds = []
            async for message in slow.messages():
                if message["type"] == "order":
                    await world.push()
                if message["type"] in ("order", "portfolio"):
                    kinds.append((message["type"], message["sequence"]))
                if message["type"] == "portfolio":
                    break
            assert kinds == [("order", 2), ("portfolio", 2)]
