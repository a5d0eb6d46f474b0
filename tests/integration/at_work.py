"""A service at work under the eyes of Prometheus: what is counted, alone; then all sorts.

What is known to have happened happens while nothing else does, so that any query that counts it can
be held to the number.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from redis.asyncio import Redis

from alerts.monitor.alertmanager import Alertmanager
from alerts.monitor.prometheus import Prometheus
from alerts.monitor.webhook import Webhook
from service.api.auth import Role
from service.storage.embedded import EmbeddedPostgres, EmbeddedValkey
from tests.drills.book import FEW_GROUPS, POOR_ACCOUNTS, RICH_ACCOUNTS, instruments, store_book
from tests.drills.instance import Instance
from tests.drills.traders import Traders
from tests.drills.upstream import Upstream
from tests.integration.trouble import make_trouble
from tests.integration.watched import INTERVAL_S, RATE_INTERVAL_S, Known, Watched
from tests.monitoring import programs
from tests.support import free_port, fresh_database

SECRET = "watched-" * 8
QUOTES_A_SECOND = 40.0
BUSY_S = 20.0
STOP_OUT_TIMEOUT_S = 60.0
POLL_S = 0.1
SYMBOL = "AUDUSD"
SOCKETS, ORDERS, STOPPED_OUT, MISSES = 3, 12, 8, 10
JUMPS_REFUSED = 2  # the third quote in a row that agrees is believed
# An outage of three seconds must meet a run of the portfolio job, to be a failure and a recovery.
SETTINGS: dict[str, Any] = {
    "POSITIONS_SWEEP_INTERVAL_S": 2,
    "PENDING_SWEEP_INTERVAL_S": 2,
    "PORTFOLIO_INTERVAL_S": 1,
    "CACHE_AUDIT_INTERVAL_S": 5,
    "ACCOUNT_READS_PER_S": 100_000,  # for somebody who asks and does not read
}
_FAR = 0.2  # share of the price that a resting order is away from it


@asynccontextmanager
async def watched_service(
    folder: Path, postgres: EmbeddedPostgres, valkey: EmbeddedValkey
) -> AsyncIterator[Watched]:
    """Start a service and its monitor, do what is known, be busy, and yield."""
    random = Random(5)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        dsn = await enter(fresh_database(postgres))
        await store_book(dsn, time.time_ns(), FEW_GROUPS)
        upstream = await enter(Upstream(instruments(), random, QUOTES_A_SECOND))
        service = Instance(
            "watched",
            folder,
            DATABASE_URL=dsn,
            REDIS_URL=valkey.url,
            FEED="websocket",
            FEED_URL=upstream.url,
            JWT_SECRET=SECRET,
            **SETTINGS,
        )
        stack.push_async_callback(service.stop)
        service.start()
        webhook = await enter(Webhook())
        alertmanager = await enter(
            Alertmanager(
                programs(),
                folder / "alertmanager",
                port=free_port(),
                notify_url=webhook.notify_url,
            )
        )
        prometheus = await enter(
            Prometheus(
                programs(),
                folder / "prometheus",
                port=free_port(),
                targets={"tapewatch": [service.ops], "alertmanager": [alertmanager.address]},
                alertmanager=alertmanager.address,
                interval_s=INTERVAL_S,
            )
        )
        await service.ready()
        traders = await enter(
            Traders(lambda: service.api, SECRET, RICH_ACCOUNTS[:4], upstream, random)
        )
        database = urlsplit(dsn).path[1:]
        watched = Watched(service, postgres, database, prometheus, upstream, traders)
        await _do_what_is_known(watched, valkey)
        await _be_busy(watched)
        watched.fired_when_well = {
            alert["labels"]["alertname"]
            for alert in await prometheus.alerts()
            if alert["state"] == "firing"
        }
        await make_trouble(watched, valkey)
        await traders.stop()
        watched.ended = time.time()
        yield watched


async def _do_what_is_known(on: Watched, valkey: EmbeddedValkey) -> None:
    traders, upstream = on.traders, on.upstream
    for account_id in POOR_ACCOUNTS[:STOPPED_OUT]:
        await traders.call(account_id, "GET", "/account")
    await asyncio.sleep(RATE_INTERVAL_S)  # of before, so that what was there is no increase
    async with AsyncExitStack() as stack:
        quotes = await stack.enter_async_context(_counting(upstream))
        on.began = time.time()
        for account_id in RICH_ACCOUNTS[20 : 20 + SOCKETS]:
            await stack.enter_async_context(traders.stream(account_id))
        far = upstream.mids[SYMBOL] * (1 - _FAR)
        await traders.place_all(
            {
                "account_id": each,
                "symbol": SYMBOL,
                "kind": "BUY_LIMIT",
                "lots": "0.10",
                "price": far,
            }
            for each in RICH_ACCOUNTS[:ORDERS]
        )
        await _stop_out(on)
        await _miss(on, valkey)
        await asyncio.sleep(RATE_INTERVAL_S + INTERVAL_S)
        on.counted = time.time()
        on.known = [
            Known("tapewatch_quotes_total", quotes.total()),
            Known("tapewatch_quotes_refused_total", JUMPS_REFUSED, {"reason": "jump"}),
            Known("tapewatch_websocket_connections", SOCKETS),
            Known("tapewatch_websocket_connections_opened_total", SOCKETS),
            Known("tapewatch_orders_placed_total", ORDERS, {"type": "BUY_LIMIT"}),
            Known("tapewatch_resting_orders", ORDERS),
            Known("tapewatch_orders_opened_total", STOPPED_OUT, {"type": "BUY"}),
            Known("tapewatch_open_positions", 0),
            Known("tapewatch_orders_closed_total", STOPPED_OUT, {"reason": "STOP_OUT"}),
            Known("tapewatch_balance_resets_total", STOPPED_OUT),
            Known(
                "tapewatch_commands_total", ORDERS + STOPPED_OUT, {"command": "place", "code": "OK"}
            ),
        ]


@asynccontextmanager
async def _counting(upstream: Upstream) -> AsyncIterator[Counter[str]]:
    """Count the quotes of the upstream, as one who is sent the same, by symbol."""
    quotes: Counter[str] = Counter()

    async def count(socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            told = message.json()
            if told["type"] == "quote":
                quotes[told["symbol"]] += 1

    async with aiohttp.ClientSession() as session, session.ws_connect(upstream.url) as socket:
        await socket.send_json({"op": "subscribe", "symbols": list(upstream.mids)})
        counting = asyncio.create_task(count(socket))
        try:
            yield quotes
        finally:
            counting.cancel()
            await asyncio.gather(counting, return_exceptions=True)


async def _stop_out(on: Watched) -> None:
    """Have the positions of poor accounts stopped out, for less than nothing."""
    for account_id in POOR_ACCOUNTS[:STOPPED_OUT]:
        assert await on.traders.place(account_id, SYMBOL, "BUY", "1.00") is not None
    on.upstream.move(-0.05, SYMBOL)
    async with asyncio.timeout(STOP_OUT_TIMEOUT_S):
        for account_id in POOR_ACCOUNTS[:STOPPED_OUT]:
            balance = ""
            while balance != "0.00":
                await asyncio.sleep(POLL_S)
                balance = (await on.traders.call(account_id, "GET", "/account"))["balance"]


async def _miss(on: Watched, valkey: EmbeddedValkey) -> None:
    """Ask for accounts that are not in the cache, and for each once more."""
    await asyncio.sleep(2 * INTERVAL_S)
    on.asked_of_cache = time.time()
    await asyncio.sleep(2 * INTERVAL_S)  # a scrape before what is to be seen as an increase
    client = Redis.from_url(valkey.url)
    await client.flushall()
    await client.aclose()
    for account_id in RICH_ACCOUNTS[30 : 30 + MISSES]:
        for _ in range(2):
            assert await on.traders.call(account_id, "GET", "/account") is not None


async def _be_busy(on: Watched) -> None:
    """Do a little of everything."""
    traders, upstream = on.traders, on.upstream
    rich = RICH_ACCOUNTS[4]
    traders.start()
    started = time.monotonic()
    mid, spread = upstream.mids["EURUSD"], upstream.spreads["EURUSD"]
    up = {"price": mid + 3 * spread, "limit_price": mid}
    await traders.place(rich, "EURUSD", "BUY_STOP_LIMIT", "0.10", **up)
    opened = await traders.place(rich, "EURUSD", "BUY", "1.00", trailing_distance_points=spread * 2)
    await traders.call(rich, "POST", f"/orders/{opened['order_id']}/close", {"volume": "0.40"})
    deals = await traders.call(rich, "GET", "/account/deals?limit=1")
    await traders.call(
        rich,
        "POST",
        f"/admin/deals/{deals['deals'][0]['deal_id']}/correction",
        {"reason": "a test"},
        role=Role.ADMIN,
    )
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat().replace("+00:00", "Z")
    await traders.call(
        rich,
        "POST",
        "/orders",
        {
            "symbol": "EURUSD",
            "type": "BUY_LIMIT",
            "volume": "0.10",
            "price": traders.price("EURUSD", mid * 0.8),
            "expires_at": soon,
        },
    )
    upstream.move(0.002, "EURUSD")
    await asyncio.sleep(BUSY_S / 2)
    upstream.move(-0.002, "EURUSD")
    await asyncio.sleep(max(0.0, started + BUSY_S - time.monotonic()))
