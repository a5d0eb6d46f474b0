"""The dealing desk's calls: kill switch, exposure, corrections and the audit."""

from typing import Any

import pytest

from tests.unit.api.market import OTHER, TRADER
from tests.unit.api.test_admin import GROUP, SYMBOL
from tests.unit.api.world import World

MARKET = {"symbol": "EURUSD", "type": "BUY", "volume": "0.10"}
LIMIT = {"symbol": "EURUSD", "type": "BUY_LIMIT", "volume": "0.10", "price": "1.08000"}
SWITCHES = ("/symbols/EURUSD/trading-state", "/groups/gold/trading-state")
BECAUSE = {"reason": "bad ticks"}


async def place(world: World, order: dict[str, Any], account_id: int = TRADER) -> dict[str, Any]:
    status, placed = await world.call("POST", "/orders", order, account_id=account_id)
    assert status == 201, placed
    return dict(placed)


async def switch(world: World, path: str, state: str) -> dict[str, Any]:
    status, shown = await world.admin("PUT", path, {"state": state} | BECAUSE)
    assert (status, shown["trading_state"]) == (200, state)
    return dict(shown)


async def code_of(world: World, method: str, path: str, body: object = None) -> tuple[int, str]:
    status, problem = await world.call(method, path, body)
    return status, problem["code"]


@pytest.mark.parametrize("path", SWITCHES)
async def test_close_only_lets_positions_close_and_nothing_open(world: World, path: str) -> None:
    order = await place(world, MARKET)
    await switch(world, path, "close_only")
    for refused in (MARKET, LIMIT):
        assert await code_of(world, "POST", "/orders", refused) == (409, "CLOSE_ONLY")
    status, _ = await world.call("POST", f"/orders/{order['order_id']}/close")
    assert status == 200


@pytest.mark.parametrize("path", SWITCHES)
async def test_halted_deals_nothing_until_it_is_over(world: World, path: str) -> None:
    order = await place(world, MARKET | {"stop_loss": "1.08000"})
    await switch(world, path, "halted")
    close = f"/orders/{order['order_id']}/close"
    assert await code_of(world, "POST", close) == (409, "TRADING_HALTED")
    assert await code_of(world, "POST", "/orders", LIMIT) == (409, "TRADING_HALTED")
    world.trading.quote("EURUSD", 107_000, 107_010)
    _, waiting = await world.call("GET", f"/orders/{order['order_id']}")
    assert waiting["status"] == "OPEN"
    await switch(world, path, "active")
    world.trading.quote("EURUSD", 107_000, 107_010)
    _, closed = await world.call("GET", f"/orders/{order['order_id']}")
    assert (closed["status"], closed["reason"]) == ("CLOSED", "STOP_LOSS")


async def test_the_traders_symbols_show_the_stricter_state(world: World) -> None:
    async def state() -> str:
        _, answer = await world.call("GET", "/symbols")
        return str({each["symbol"]: each["trading_state"] for each in answer["symbols"]}["EURUSD"])

    assert await state() == "active"
    await switch(world, SWITCHES[0], "close_only")
    assert await state() == "close_only"
    await switch(world, SWITCHES[1], "halted")
    assert await state() == "halted"


async def test_other_changes_leave_the_kill_switch_alone(world: World) -> None:
    """A changed tolerance must not end a halt that somebody ordered for a reason."""
    for path in SWITCHES:
        await switch(world, path, "halted")
    eurusd = SYMBOL | {"base_currency": "EUR"}
    _, symbol = await world.admin("PUT", "/symbols/EURUSD", eurusd)
    _, group = await world.admin("PUT", "/groups/gold", GROUP)
    assert (symbol["trading_state"], group["trading_state"]) == ("halted", "halted")


@pytest.mark.parametrize("path", SWITCHES)
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"state": "halted"}, "reason"),
        ({"state": "halted", "reason": None}, "reason"),
        ({"state": "halted", "reason": ""}, "reason"),
        ({"state": "halted", "reason": "  "}, "reason"),
        ({"state": "halted", "reason": "nul \0"}, "reason"),
        ({"state": "halted", "reason": "two\nlines"}, "reason"),
        ({"state": "halted", "reason": "a line\n"}, "reason"),
        ({"state": "halted", "reason": "x" * 501}, "reason"),
        ({"state": "off", "reason": "x"}, "state"),
        ({"reason": "x"}, "state"),
    ],
)
async def test_the_switch_needs_a_state_and_a_reason(
    world: World, path: str, body: dict[str, Any], field: str
) -> None:
    status, problem = await world.admin("PUT", path, body)
    assert (status, problem["code"], problem["field"]) == (422, "VALIDATION_FAILED", field)
    assert world.trading.audit == []


async def test_a_lone_surrogate_never_reaches_the_database(world: World) -> None:
    headers = {"Content-Type": "application/json"}
    async with world.client.put(
        "/api/v1/admin" + SWITCHES[0],
        data=b'{"state":"halted","reason":"\\ud800"}',
        headers=headers | world.admin_headers(),
    ) as response:
        assert response.status in (400, 422)
    assert world.trading.audit == []


@pytest.mark.parametrize("path", ["/symbols/NOPE/trading-state", "/groups/nope/trading-state"])
async def test_what_is_not_there_cannot_be_switched(world: World, path: str) -> None:
    status, problem = await world.admin("PUT", path, {"state": "active"} | BECAUSE)
    assert (status, problem["code"]) == (404, "NOT_FOUND")


async def test_a_trader_may_not(world: World) -> None:
    for method, path in (
        ("PUT", "/admin" + SWITCHES[0]),
        ("GET", "/admin/exposure"),
        ("GET", "/admin/audit"),
        ("POST", "/admin/deals/1/correction"),
    ):
        assert await code_of(world, method, path) == (403, "FORBIDDEN")


async def test_symbols_have_sessions_and_groups_a_hysteresis(world: World) -> None:
    sessions = "America/New_York: Sun 17:05-Fri 16:55"
    wanted = SYMBOL | {"sessions": sessions, "triple_swap_weekday": None}
    _, symbol = await world.admin("PUT", "/symbols/AUDUSD", wanted)
    assert (symbol["sessions"], symbol["triple_swap_weekday"]) == (sessions, None)
    assert await world.admin("GET", "/symbols/AUDUSD") == (200, symbol)
    _, symbol = await world.admin("PUT", "/symbols/AUDUSD", SYMBOL)
    assert (symbol["sessions"], symbol["triple_swap_weekday"]) == (None, "Wed")
    _, group = await world.admin("PUT", "/groups/vip", GROUP | {"margin_call_hysteresis": "7.5"})
    assert group["margin_call_hysteresis"] == "7.5"


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/symbols/AUDUSD", SYMBOL | {"sessions": "Mon-Fri"}, "INVALID_SETTINGS"),
        (
            "/symbols/AUDUSD",
            SYMBOL | {"sessions": "Mars/Base: Mon 08:00-09:00"},
            "INVALID_SETTINGS",
        ),
        ("/symbols/AUDUSD", SYMBOL | {"sessions": "x" * 501}, "VALIDATION_FAILED"),
        ("/symbols/AUDUSD", SYMBOL | {"triple_swap_weekday": "Sat"}, "VALIDATION_FAILED"),
        ("/symbols/AUDUSD", SYMBOL | {"trading_state": "halted"}, "VALIDATION_FAILED"),
        ("/groups/vip", GROUP | {"margin_call_hysteresis": "-1"}, "INVALID_SETTINGS"),
    ],
)
async def test_bad_settings_are_refused(
    world: World, path: str, body: dict[str, Any], code: str
) -> None:
    status, problem = await world.admin("PUT", path, body)
    assert (status, problem["code"]) == (422, code)


async def test_exposure_nets_longs_and_shorts_by_symbol_and_group(world: World) -> None:
    assert await world.admin("GET", "/exposure") == (200, {"symbols": []})
    await place(world, MARKET)
    await place(world, MARKET | {"type": "SELL", "volume": "0.25"}, OTHER)
    await place(world, MARKET | {"symbol": "USDJPY", "volume": "0.02"}, OTHER)
    euro = {"long": "0.10", "short": "0.25", "net": "-0.15"}
    yen = {"long": "0.02", "short": "0.00", "net": "0.02"}
    assert await world.admin("GET", "/exposure") == (
        200,
        {
            "symbols": [
                euro | {"symbol": "EURUSD", "groups": [euro | {"group": "gold"}]},
                yen | {"symbol": "USDJPY", "groups": [yen | {"group": "gold"}]},
            ]
        },
    )


async def closed_deal(world: World) -> tuple[dict[str, Any], int]:
    order = await place(world, MARKET)
    await world.call("POST", f"/orders/{order['order_id']}/close")
    _, page = await world.call("GET", "/account/deals?limit=1")
    return order, page["deals"][0]["deal_id"]


async def test_a_corrected_close_opens_its_position_again(world: World) -> None:
    before = world.desk.accounts[TRADER].balance
    order, deal_id = await closed_deal(world)
    assert world.desk.accounts[TRADER].balance != before
    path = f"/deals/{deal_id}/correction"
    status, event = await world.admin("POST", path, BECAUSE, key="once")
    assert (status, event["kind"], event["account_id"]) == (200, "CORRECTED", TRADER)
    assert (event["deal"]["event"], event["deal"]["corrects"]) == ("CORRECTION", deal_id)
    assert (event["order"]["status"], event["order"]["volume"]) == ("OPEN", "0.10")
    commission = world.desk.orders[order["order_id"]].commission
    assert commission is not None
    assert world.desk.accounts[TRADER].balance == before - commission
    again = await world.admin("POST", path, BECAUSE, key="once")
    assert again == (status, event), "the same key is answered as before"
    audit = world.trading.decisions[-1].audit
    assert audit == (str(TRADER), "correct_deal", f"deal {deal_id}", "bad ticks")


async def test_a_deal_is_corrected_once(world: World) -> None:
    _, deal_id = await closed_deal(world)
    path = f"/deals/{deal_id}/correction"
    await world.admin("POST", path, BECAUSE)
    status, problem = await world.admin("POST", path, BECAUSE)
    assert (status, problem["code"]) == (409, "DEAL_NOT_CORRECTABLE")
    assert "already" in problem["detail"]


@pytest.mark.parametrize("deal_id", ["99", "x", "9" * 30])
async def test_a_deal_that_is_not_there_is_not_found(world: World, deal_id: str) -> None:
    status, problem = await world.admin("POST", f"/deals/{deal_id}/correction", BECAUSE)
    assert (status, problem["code"]) == (404, "DEAL_NOT_FOUND")


async def test_deposits_and_withdrawals_are_audited(world: World) -> None:
    path = f"/accounts/{TRADER}"
    await world.admin("POST", path + "/deposits", {"amount": "9.50", "reason": "a goodwill"})
    await world.admin("POST", path + "/withdrawals", {"amount": "1.00"})
    assert [decision.audit for decision in world.trading.decisions] == [
        (str(TRADER), "deposit", f"account {TRADER}", "a goodwill"),
        (str(TRADER), "withdraw", f"account {TRADER}", ""),
    ]


async def test_the_deals_of_an_account_are_found_for_their_correction(world: World) -> None:
    _, deal_id = await closed_deal(world)
    status, page = await world.admin("GET", f"/accounts/{TRADER}/deals?limit=1")
    assert (status, [deal["deal_id"] for deal in page["deals"]]) == (200, [deal_id])
    _, rest = await world.admin(
        "GET", f"/accounts/{TRADER}/deals?limit=1&cursor={page['next_cursor']}"
    )
    assert [deal["event"] for deal in rest["deals"]] == ["OPEN"]
    assert rest["next_cursor"] is None


async def test_the_audit_is_paged_newest_first(world: World) -> None:
    await switch(world, SWITCHES[0], "halted")
    await world.admin("PUT", "/groups/vip", GROUP | {"reason": "a new customer"})
    await world.admin("PUT", "/groups/vip", GROUP)
    status, page = await world.admin("GET", "/audit?limit=2")
    assert status == 200
    assert [(e["action"], e["target"], e["reason"]) for e in page["entries"]] == [
        ("set_group", "group vip", ""),
        ("set_group", "group vip", "a new customer"),
    ]
    _, rest = await world.admin("GET", f"/audit?limit=2&cursor={page['next_cursor']}")
    assert [(e["action"], e["reason"]) for e in rest["entries"]] == [
        ("set_trading_state", "bad ticks")
    ]
    assert rest["next_cursor"] is None
    assert rest["entries"][0]["actor"] == str(TRADER)
