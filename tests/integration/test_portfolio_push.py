"""Portfolios pushed by a whole service: as REST has them to the cent, in step with the orders."""

import asyncio
from decimal import Decimal
from typing import Any

import aiohttp

from service.api.auth import Role, issue_token
from tests.integration.test_gateway import OTHER, SECRET, TRADER, Client, bearer, client

__all__ = ["client"]

MARKET = {"symbol": "EURUSD", "type": "BUY", "volume": "0.10"}


async def portfolio_of(socket: aiohttp.ClientWebSocketResponse, price: str) -> Any:
    """Return the first portfolio with a position at this price."""
    async with asyncio.timeout(30):
        while True:
            message = await socket.receive_json()
            if message["type"] == "portfolio" and any(
                position["price"] == price for position in message["positions"]
            ):
                return message


async def test_it_is_worth_what_rest_says(client: Client) -> None:
    async with client.session.ws_connect(
        "/api/v1/stream", headers=bearer(TRADER), compress=15
    ) as socket:
        assert socket.compress == 15
        for kind in ("BUY", "SELL", "BUY"):
            await client.call("POST", "/orders", MARKET | {"type": kind})
        client.quote(108_590, 108_600)
        pushed = await portfolio_of(socket, "1.08589")
        _, account = await client.call("GET", "/account")
    for name in ("sequence", "balance", "equity", "margin", "free_margin", "margin_level"):
        assert pushed[name] == account[name], name
    assert pushed["positions"] == [
        {name: position[name] for name in ("order_id", "price", "profit")}
        for position in account["positions"]
    ]
    assert Decimal(pushed["equity"]) == Decimal(pushed["balance"]) + sum(
        Decimal(position["profit"]) for position in pushed["positions"]
    )


async def test_it_never_knows_more_or_less_than_was_told(client: Client) -> None:
    held: set[int] = set()
    sequence = checked = 0
    last: Any = None
    async with client.session.ws_connect("/api/v1/stream", headers=bearer(TRADER)) as socket:

        async def trade() -> None:
            bid = 108_490
            for number in range(15):
                _, order = await client.call("POST", "/orders", MARKET)
                bid += 1
                client.quote(bid, bid + 10)
                if number % 3:
                    await client.call("POST", f"/orders/{order['order_id']}/close")
                await asyncio.sleep(0.02)
            await client.call("POST", "/orders", MARKET | {"client_order_id": "the-last"})

        trading = asyncio.create_task(trade())
        async with asyncio.timeout(60):
            while True:
                message = await socket.receive_json()
                if message["type"] == "snapshot":
                    sequence = message["sequence"]
                elif message["type"] == "order":
                    sequence, order = message["sequence"], message["order"]
                    (held.add if order["status"] == "OPEN" else held.discard)(order["order_id"])
                    if order["client_order_id"] == "the-last":
                        last = order
                elif message["type"] == "portfolio":
                    checked += 1
                    assert message["sequence"] == sequence
                    assert {each["order_id"] for each in message["positions"]} == held
                    if last is not None:
                        break
        await trading
    assert checked
    assert len(held) == 6


async def test_one_socket_is_told_of_several_accounts(client: Client) -> None:
    token = issue_token(SECRET, TRADER, Role.TRADER, 60, others=[OTHER])
    headers = {"Authorization": f"Bearer {token}"}
    async with client.session.ws_connect("/api/v1/stream", headers=headers) as socket:
        snapshots = [await socket.receive_json() for _ in range(2)]
        assert [each["account_id"] for each in snapshots] == [TRADER, OTHER]
        for account_id in (OTHER, TRADER):
            await client.call("POST", "/orders", MARKET, account_id=account_id)
        client.quote(108_690, 108_700)
        seen: set[int] = set()
        while seen != {TRADER, OTHER}:
            message = await portfolio_of(socket, "1.08689")
            seen.add(message["account_id"])
