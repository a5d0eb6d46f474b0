"""Administration over REST."""

from typing import Any

import msgspec
import pytest

from service.storage.valuation import Valuation
from tests.unit.api.market import POOR, TRADER
from tests.unit.api.world import World

ACCOUNT = {
    "account_id": 100,
    "user_type": "live",
    "group": "gold",
    "leverage": "30",
    "balance": "500.00",
}
SYMBOL = {
    "digits": 5,
    "contract_size": "100000",
    "base_currency": "AUD",
    "profit_currency": "USD",
    "instrument_type": "forex",
    "min_lot": "0.01",
    "max_lot": "50",
    "lot_step": "0.01",
}
GROUP = {
    "margin_call_level": "100",
    "stop_out_level": "50",
    "negative_balance_protection": True,
    "fill_policy": "requested",
}
TERMS = {
    "spread": "1.2",
    "spread_pip": "0.0001",
    "commission_type": "entry_and_exit",
    "commission_value_type": "percent",
}


async def test_an_account_is_created_once(world: World) -> None:
    status, account = await world.admin("POST", "/accounts", ACCOUNT)
    assert (status, account["balance"], account["leverage"]) == (201, "500.00", "30")
    assert await world.admin("GET", "/accounts/100") == (200, account)
    status, problem = await world.admin("POST", "/accounts", ACCOUNT)
    assert (status, problem["code"]) == (409, "ACCOUNT_EXISTS")


async def test_accounts_are_listed_in_pages(world: World) -> None:
    _, first = await world.admin("GET", "/accounts?limit=2")
    _, rest = await world.admin("GET", f"/accounts?limit=2&cursor={first['next_cursor']}")
    ids = [each["account_id"] for each in first["accounts"] + rest["accounts"]]
    assert ids == [17, 18, 19]
    assert rest["next_cursor"] is None


async def test_a_listed_account_shows_what_it_was_worth(world: World) -> None:
    world.portfolios.worth[TRADER] = Valuation(
        account_id=TRADER,
        equity="9990.00",
        margin="108.50",
        free_margin="9881.50",
        margin_level="9207.37",
        positions=1,
        unpriced=[],
        priced_at="2026-01-05T08:00:00.000Z",
        sequence=1,
        computed_at="2026-01-05T08:00:30.000Z",
    )
    _, page = await world.admin("GET", "/accounts")
    worth = {each["account_id"]: each["valuation"] for each in page["accounts"]}
    assert worth.pop(TRADER) == msgspec.to_builtins(world.portfolios.worth[TRADER])
    assert set(worth.values()) == {None}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"group": "none"}, "UNKNOWN_GROUP"),
        ({"leverage": "0"}, "INVALID_SETTINGS"),
        ({"account_id": 0}, "VALIDATION_FAILED"),
        ({"account_id": 2**63}, "VALIDATION_FAILED"),
        ({"user_type": "test"}, "VALIDATION_FAILED"),
        ({"balance": 5}, "VALIDATION_FAILED"),
    ],
)
async def test_a_bad_account_is_refused(world: World, changes: dict[str, Any], code: str) -> None:
    status, problem = await world.admin("POST", "/accounts", ACCOUNT | changes)
    assert (status, problem["code"]) == (422, code)


async def test_money_goes_in_and_out_once_a_key(world: World) -> None:
    path = f"/accounts/{POOR}"
    deposit = await world.admin("POST", path + "/deposits", {"amount": "9.50"}, key="in")
    assert deposit[0] == 200
    assert deposit[1]["balance"] == "10.50"
    assert await world.admin("POST", path + "/deposits", {"amount": "9.50"}, key="in") == deposit
    status, account = await world.admin("POST", path + "/withdrawals", {"amount": "10.5"})
    assert (status, account["balance"]) == (200, "0.00")


@pytest.mark.parametrize(
    ("path", "amount", "status", "code"),
    [
        (f"/accounts/{TRADER}/deposits", "0", 422, "INVALID_AMOUNT"),
        (f"/accounts/{TRADER}/deposits", "-5", 422, "INVALID_AMOUNT"),
        (f"/accounts/{TRADER}/deposits", "0.001", 422, "INVALID_AMOUNT"),
        (f"/accounts/{TRADER}/withdrawals", "-5", 422, "INVALID_AMOUNT"),
        (f"/accounts/{TRADER}/withdrawals", "10000.01", 422, "INSUFFICIENT_FUNDS"),
        ("/accounts/404/deposits", "5", 404, "UNKNOWN_ACCOUNT"),
        ("/accounts/x/deposits", "5", 404, "UNKNOWN_ACCOUNT"),
    ],
)
async def test_bad_amounts_are_refused(
    world: World, path: str, amount: str, status: int, code: str
) -> None:
    assert await _code(world, "POST", path, {"amount": amount}) == (status, code)


async def test_a_symbol_is_added_with_a_groups_terms(world: World) -> None:
    assert await _code(world, "GET", "/symbols/AUDUSD") == (404, "NOT_FOUND")
    status, symbol = await world.admin("PUT", "/symbols/AUDUSD", SYMBOL)
    assert (status, symbol["max_lot"]) == (200, "50.00")
    assert await world.admin("GET", "/symbols/AUDUSD") == (200, symbol)
    status, group = await world.admin("PUT", "/groups/vip", GROUP)
    assert status == 200
    assert await world.admin("GET", "/groups/vip") == (200, group)
    assert await _code(world, "GET", "/groups/vip/symbols/AUDUSD") == (404, "NOT_FOUND")
    status, terms = await world.admin("PUT", "/groups/vip/symbols/AUDUSD", TERMS)
    assert (status, terms["margin_factor"]) == (200, "1")
    assert await world.admin("GET", "/groups/vip/symbols/AUDUSD") == (200, terms)
    assert await world.admin("GET", "/groups/vip/symbols") == (200, {"symbols": [terms]})
    _, groups = await world.admin("GET", "/groups")
    assert [each["group"] for each in groups["groups"]] == ["gold", "retail", "vip"]
    _, symbols = await world.admin("GET", "/symbols")
    assert symbols["symbols"][0] == symbol


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/symbols/EURUSD", SYMBOL | {"digits": 3}, "INVALID_SETTINGS"),
        ("/symbols/AUDUSD", SYMBOL | {"lot_step": "0"}, "INVALID_SETTINGS"),
        ("/symbols/AUDUSD", SYMBOL | {"lot_step": "0.00001"}, "INVALID_SETTINGS"),
        ("/symbols/AUDUSD", SYMBOL | {"max_lot": "9" * 15}, "INVALID_SETTINGS"),
        ("/symbols/AUDUSD", SYMBOL | {"digits": 9}, "VALIDATION_FAILED"),
        ("/symbols/AUD%00USD", SYMBOL, "VALIDATION_FAILED"),
        ("/groups/vip", GROUP | {"stop_out_level": "101"}, "INVALID_SETTINGS"),
        ("/groups/v%20p", GROUP, "VALIDATION_FAILED"),
        ("/groups/gold/symbols/EURUSD", TERMS | {"spread": "0.01"}, "INVALID_SETTINGS"),
        ("/groups/none/symbols/EURUSD", TERMS, "INVALID_SETTINGS"),
        ("/groups/gold/symbols/EURUSD", TERMS | {"margin_factor": "0"}, "INVALID_SETTINGS"),
    ],
)
async def test_bad_settings_are_refused(
    world: World, path: str, body: dict[str, Any], code: str
) -> None:
    assert await _code(world, "PUT", path, body) == (422, code)


async def _code(world: World, method: str, path: str, body: object = None) -> tuple[int, str]:
    status, problem = await world.admin(method, path, body)
    return status, problem["code"]


async def test_changes_are_counted_by_their_answer(world: World) -> None:
    await world.admin("POST", "/accounts", ACCOUNT)
    await world.admin("POST", "/accounts", ACCOUNT)
    await world.admin("PUT", "/symbols/AUDUSD", SYMBOL)
    await world.admin("PUT", "/symbols/AUDUSD", SYMBOL | {"contract_size": "0"})
    await world.admin("PUT", "/groups/new", GROUP)
    await world.admin("PUT", "/groups/new/symbols/AUDUSD", TERMS)
    await world.admin("PUT", "/groups/new/symbols/NOPE", TERMS)
    assert world.samples("tapewatch_commands_total") == {
        'tapewatch_commands_total{code="ACCOUNT_EXISTS",command="admin"}': 1,
        'tapewatch_commands_total{code="INVALID_SETTINGS",command="admin"}': 2,
        'tapewatch_commands_total{code="OK",command="admin"}': 4,
    }
    [taken] = world.samples('tapewatch_command_seconds_count{command="admin"}').values()
    assert taken == 7
