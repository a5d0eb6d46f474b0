"""The account, its history, instruments and prices over REST."""

from tests.unit.api.market import OTHER
from tests.unit.api.world import World

LIMIT = {"symbol": "EURUSD", "type": "BUY_LIMIT", "volume": "0.10", "price": "1.08000"}
MARKET = {"symbol": "EURUSD", "type": "BUY", "volume": "0.10"}


async def test_the_account_shows_what_it_is_worth(world: World) -> None:
    await world.call("POST", "/orders", MARKET)
    status, account = await world.call("GET", "/account")
    assert status == 200
    assert (account["balance"], account["equity"]) == ("9999.30", "9998.10")
    assert account["margin"] == "108.501"


async def test_history_is_paged_each_by_its_own_cursor(world: World) -> None:
    for _ in range(3):
        await world.call("POST", "/orders", MARKET)
    for listing, entry_id in (("ledger", "entry_id"), ("deals", "deal_id")):
        name = {"ledger": "entries"}.get(listing, listing)
        _, first = await world.call("GET", f"/account/{listing}?limit=2")
        _, rest = await world.call(
            "GET", f"/account/{listing}?limit=2&cursor={first['next_cursor']}"
        )
        ids = [entry[entry_id] for entry in first[name] + rest[name]]
        assert ids == sorted(set(ids), reverse=True)
        assert len(ids) == 3
        assert rest["next_cursor"] is None
        assert (await world.call("GET", f"/account/{listing}", account_id=OTHER))[1][name] == []


async def test_instruments_are_those_of_the_group(world: World) -> None:
    _, found = await world.call("GET", "/symbols")
    assert [each["symbol"] for each in found["symbols"]] == [
        "EURPLN",
        "EURUSD",
        "USDJPY",
        "XAUUSD",
    ]
    assert found["symbols"][1]["min_lot"] == "0.01"


async def test_quotes_are_the_prices_of_the_group(world: World) -> None:
    _, found = await world.call("GET", "/quotes")
    assert found["group"] == "gold"
    assert [each["symbol"] for each in found["quotes"]] == ["EURUSD", "USDJPY"]
    assert (found["quotes"][0]["sell"], found["quotes"][0]["buy"]) == ("1.08489", "1.08501")


async def test_without_an_account_there_is_nothing_to_show(world: World) -> None:
    for path in ("/account", "/symbols", "/quotes"):
        status, problem = await world.call("GET", path, account_id=404)
        assert (status, problem["code"]) == (404, "UNKNOWN_ACCOUNT")


async def test_an_account_is_read_once_to_know_its_group(world: World) -> None:
    """Which is all that is looked at: the market of a gateway has no accounts."""
    await world.call("GET", "/symbols")
    world.desk.accounts.clear()
    for path in ("/symbols", "/quotes"):
        status, _ = await world.call("GET", path)
        assert status == 200
    status, problem = await world.call("GET", "/quotes", account_id=OTHER)
    assert (status, problem["code"]) == (404, "UNKNOWN_ACCOUNT")
