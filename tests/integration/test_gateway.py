"""The gateway on the real parts: an empty database, set up, traded on and watched over the API."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from service.api.auth import Role, issue_token
from service.api.gateway import WATCHED_ACCOUNTS, build_gateway
from service.api.serving import runner_of
from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.quote import Quote, QuoteGuard
from service.domain.shard import ALL_ACCOUNTS
from service.instruments import Instruments
from service.loops.administration import Administration
from service.loops.bus import MemoryBus
from service.loops.intake import Intake
from service.loops.leadership import Leadership
from service.loops.portfolio import Portfolios
from service.loops.prices import SHOW_INTERVAL_S, PriceBoard
from service.loops.publisher import Publisher
from service.loops.rules import Rules
from service.loops.supervisor import Supervisor
from service.loops.trading import Trading
from service.storage.cache import Cache
from service.storage.database import Database, apply_migrations
from service.storage.events import EventFeed
from service.storage.outbox import Outbox
from service.storage.reader import Reader
from service.storage.settings_version import SettingsVersions
from tests.revoked import nothing_revoked

SECRET = "a secret of the tests, long enough to sign"
HOST = "127.0.0.1"
TRADER, OTHER = 17, 18
SYMBOL = {
    "digits": 5,
    "contract_size": "100000",
    "base_currency": "EUR",
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
    "fill_policy": "market",
}
TERMS = {
    "spread": "0.2",
    "spread_pip": "0.0001",
    "commission_type": "entry",
    "commission_value_type": "per_lot",
    "commission": "7",
}
LIMIT = {"symbol": "EURUSD", "type": "BUY_LIMIT", "volume": "0.10", "price": "1.08000"}


class Client:
    """A client of one gateway, and the market it hears of."""

    def __init__(self, session: aiohttp.ClientSession, trading: Trading) -> None:
        self.session = session
        self.trading = trading

    def quote(self, bid: int, ask: int) -> None:
        self.trading.on_quote(Quote("EURUSD", bid, ask, time.time_ns()))

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        account_id: int = TRADER,
        role: Role = Role.TRADER,
        key: str | None = None,
    ) -> tuple[int, Any]:
        headers = bearer(account_id, role)
        if key is not None:
            headers["Idempotency-Key"] = key
        async with self.session.request(
            method, "/api/v1" + path, json=body, headers=headers
        ) as response:
            return response.status, await response.json(content_type=None)

    async def admin(self, method: str, path: str, body: object) -> Any:
        status, answer = await self.call(method, "/admin" + path, body, role=Role.ADMIN)
        assert status in (200, 201), answer
        return answer


def bearer(account_id: int, role: Role = Role.TRADER) -> dict[str, str]:
    return {"Authorization": f"Bearer {issue_token(SECRET, account_id, role, 60)}"}


@pytest.fixture
async def client(postgres_dsn: str, redis_url: str) -> AsyncIterator[Client]:
    """A gateway that leads, with a symbol, a group and two accounts made over the API."""
    async with serve(postgres_dsn, redis_url) as client:
        await set_up(client)
        yield client


async def set_up(client: Client) -> None:
    """Make a symbol, a group and two accounts, and a first quote."""
    await client.admin("PUT", "/symbols/EURUSD", SYMBOL)
    await client.admin("PUT", "/groups/gold", GROUP)
    await client.admin("PUT", "/groups/gold/symbols/EURUSD", TERMS)
    for account_id in (TRADER, OTHER):
        await client.admin(
            "POST",
            "/accounts",
            {
                "account_id": account_id,
                "user_type": "demo",
                "group": "gold",
                "leverage": "100",
                "balance": "10000.00",
            },
        )
    client.quote(108_490, 108_500)


@asynccontextmanager
async def serve(
    dsn: str, redis_url: str, instruments: Instruments | None = None
) -> AsyncIterator[Client]:
    await apply_migrations(dsn)
    instruments = Instruments() if instruments is None else instruments
    database, cache = Database(dsn, instruments), Cache(redis_url, instruments)
    engine = Engine(Desk(), QuoteGuard())
    reader = Reader(database, lambda: trading.symbols())
    trading = Trading(database, reader, instruments, engine)
    leadership = Leadership(database, trading, Rules("the test", QuoteGuard(), 10.0))
    publisher = Publisher(cache, Outbox(database), instruments)
    trading.written_hooks.append(publisher.publish)
    trading.lead_hooks.append(publisher.lead)
    board = PriceBoard(lambda: trading.desk, cache, instruments)
    supervisor = Supervisor(instruments, Random())
    events = EventFeed(redis_url, reader, instruments, trading.sequence)
    bus = MemoryBus(ALL_ACCOUNTS.of)
    bus.serve(ALL_ACCOUNTS, Intake(trading, reader), trading.on_quote)
    app = build_gateway(
        market=trading,
        commands=bus,
        administration=Administration(bus, SettingsVersions(database)),
        reader=reader,
        portfolios=Portfolios(cache, reader, lambda: trading.desk),
        board=board,
        feed=events,
        loops=supervisor,
        instruments=instruments,
        revocations=nothing_revoked(),
        secret=SECRET,
        version="0",
    )
    runner = runner_of(app)
    async with supervisor.group() as loops:
        loops.keep("leadership", leadership.run, leadership.pulse)
        loops.keep("publisher", publisher.run, publisher.pulse)
        loops.keep("events", events.run, events.pulse)
        loops.keep("price_writer", board.write, board.pulse)
        loops.repeat("prices", board.run_once, interval_s=SHOW_INTERVAL_S)
        loops.repeat("portfolio_push", app[WATCHED_ACCOUNTS].push, interval_s=SHOW_INTERVAL_S)
        await leadership.gained()
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession(f"http://{HOST}:{port}") as session:
            yield Client(session, trading)
        await runner.cleanup()
        await leadership.stop()
    await cache.close()
    await database.close()


async def next_of(socket: aiohttp.ClientWebSocketResponse, *names: str) -> Any:
    while True:
        message = await socket.receive_json()
        if message["type"] in names:
            return message


async def test_an_order_is_placed_triggered_and_told(client: Client) -> None:
    async with client.session.ws_connect("/api/v1/stream", headers=bearer(TRADER)) as socket:
        snapshot = await next_of(socket, "snapshot")
        first = snapshot["sequence"]
        status, order = await client.call("POST", "/orders", LIMIT)
        assert (status, order["status"]) == (201, "PENDING")
        client.quote(107_980, 107_990)
        told: dict[str, Any] = {}  # the price and what it triggered, in whichever order
        async with asyncio.timeout(30):
            while not {"quotes", "OPENED"} <= told.keys():
                message = await socket.receive_json()
                told[message.get("kind", message["type"])] = message
        assert told["quotes"]["quotes"][0]["symbol"] == "EURUSD"
    async with client.session.ws_connect("/api/v1/stream", headers=bearer(TRADER)) as socket:
        snapshot = await next_of(socket, "snapshot")
        assert [each["status"] for each in snapshot["orders"]] == ["OPEN"]
        assert snapshot["sequence"] == first + 2
        _, closed = await client.call("POST", f"/orders/{order['order_id']}/close")
        event = await next_of(socket, "order")
        assert (event["kind"], event["sequence"]) == ("CLOSED", first + 3)
        assert event["order"] == closed
    _, history = await client.call("GET", "/orders?status=closed")
    assert history["orders"] == [closed]
    _, deals = await client.call("GET", "/account/deals")
    assert [each["event"] for each in deals["deals"]] == ["CLOSE", "OPEN"]
    _, ledger = await client.call("GET", "/account/ledger")
    assert ledger["entries"][-1]["kind"] == "DEPOSIT"
    _, account = await client.call("GET", "/account")
    assert account["balance"] == account["equity"] == ledger["entries"][0]["balance_after"]


async def test_every_event_reaches_an_open_socket_in_order(client: Client) -> None:
    async with client.session.ws_connect("/api/v1/stream", headers=bearer(TRADER)) as socket:
        sequence = (await next_of(socket, "snapshot"))["sequence"]
        for number in range(20):
            await client.call("POST", "/orders", LIMIT | {"client_order_id": f"order-{number}"})
        client.quote(107_980, 107_990)
        told = [await next_of(socket, "order") for _ in range(40)]
    assert [each["sequence"] for each in told] == list(range(sequence + 1, sequence + 41))
    assert [each["kind"] for each in told] == ["PLACED"] * 20 + ["OPENED"] * 20


async def test_a_key_outlives_what_it_did(client: Client) -> None:
    order = LIMIT | {"client_order_id": "mine"}
    status, first = await client.call("POST", "/orders", order)
    assert status == 201
    assert await client.call("POST", "/orders", order) == (200, first)
    path = f"/orders/{first['order_id']}"
    cancelled = await client.call("DELETE", path, key="gone")
    assert cancelled[0] == 200
    assert await client.call("DELETE", path, key="gone") == cancelled
    assert await client.call("POST", "/orders", order) == (200, first)
    status, problem = await client.call("DELETE", path, account_id=OTHER)
    assert (status, problem["code"]) == (404, "ORDER_NOT_FOUND")


async def test_text_that_postgresql_cannot_hold_is_refused_before(client: Client) -> None:
    for order in (
        LIMIT | {"symbol": "EUR\u0000USD"},
        LIMIT | {"client_order_id": "a\u0000b"},
        LIMIT | {"client_order_id": "ü"},
    ):
        status, problem = await client.call("POST", "/orders", order)
        assert status == 422, problem
    status, _ = await client.call("GET", "/orders/999999999999999999")
    assert status == 404
