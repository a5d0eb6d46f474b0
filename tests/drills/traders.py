"""A few clients: each has a socket on which it listens and talks, and orders that trade.

Half of what a trader places are stops near the market, which trigger within seconds and close by
their own stop loss or take profit; the rest are market orders that it closes again. Whatever the
service answers, or does not, a trader goes on: what was answered is counted in `outcomes`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import aiohttp

from service.api.auth import Role, issue_token
from service.api.openapi import STREAM_PATH
from tests.drills.upstream import Upstream

PAUSE_S = 0.5
TALK_S = 1.0
TIMEOUT_S = 10.0  # longer than a gateway waits for an engine
RECONNECT_S = 1.0
MAX_LIVE = 10
TOKEN_LIFE_S = 86_400.0
PLACED_AT_ONCE = 32


class Traders:
    """Trades for `account_ids` at the API that `address` names, now and whenever it is asked."""

    def __init__(
        self,
        address: Callable[[], str],
        secret: str,
        account_ids: Iterable[int],
        upstream: Upstream,
        random: Random,
    ) -> None:
        self._address = address
        self.secret = secret
        self._account_ids = list(account_ids)
        self._upstream = upstream
        self._random = random
        self._tasks: list[asyncio.Task[None]] = []
        self._digits = upstream.digits
        self.outcomes: Counter[str] = Counter()

    async def __aenter__(self) -> "Traders":
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        self.session = aiohttp.ClientSession(
            timeout=timeout, connector=aiohttp.TCPConnector(limit=0)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self.session.close()

    def start(self) -> None:
        """Trade from now on."""
        self._tasks = [
            asyncio.create_task(self._keep(each, account_id))
            for account_id in self._account_ids
            for each in (self._trade, self._talk)
        ]

    async def stop(self) -> None:
        """Trade no more; what is open stays open."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def retire(self) -> None:
        """Trade no more, and end all orders: nothing is decided from then on."""
        await self.stop()
        for account_id in self._account_ids:
            listed = await self.call(account_id, "GET", "/orders?status=pending,open&limit=200")
            for order in listed["orders"]:
                await self._end(account_id, order)

    # What others may ask of them too

    def authorisation(self, account_id: int, *others: int, role: Role = Role.TRADER) -> str:
        """Return a header's value for an account, or for a stream of several."""
        return "Bearer " + issue_token(self.secret, account_id, role, TOKEN_LIFE_S, others=others)

    async def call(
        self, account_id: int, method: str, path: str, body: object = None, **options: Any
    ) -> Any:
        """Return the answer to a call of the API, None unless it is a success."""
        headers = {"Authorization": self.authorisation(account_id, **options)}
        url = f"{self._address()}/api/v1{path}"
        async with self.session.request(method, url, json=body, headers=headers) as response:
            self.outcomes[f"{method} {response.status}"] += 1
            return await response.json() if response.ok else None

    async def place(self, account_id: int, symbol: str, kind: str, lots: str, **more: Any) -> Any:
        """Place an order; prices are in points."""
        body: dict[str, object] = {"symbol": symbol, "type": kind, "volume": lots}
        for name, number in more.items():
            body[name] = number if name.endswith("_points") else self.price(symbol, number)
        return await self.call(account_id, "POST", "/orders", body)

    async def place_all(self, orders: Iterable[dict[str, Any]]) -> None:
        """Place many orders, of `place`'s arguments. Raises AssertionError for one refused."""
        gate = asyncio.Semaphore(PLACED_AT_ONCE)

        async def place(order: dict[str, Any]) -> None:
            async with gate:
                assert await self.place(**order) is not None, f"refused: {order}"

        await asyncio.gather(*map(place, orders))

    def price(self, symbol: str, points: float) -> str:
        """Return a price of so many points as the API writes it."""
        digits = self._digits[symbol]
        return f"{round(points) / 10**digits:.{digits}f}"

    def stream(self, account_id: int, *others: int, **options: Any) -> Any:
        """Open a socket, to be entered."""
        headers = {"Authorization": self.authorisation(account_id, *others)}
        return self.session.ws_connect(self._address() + STREAM_PATH, headers=headers, **options)

    # What each does all day

    async def _keep(self, do: Callable[[int], Any], account_id: int) -> None:
        while True:
            try:
                await do(account_id)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self.outcomes[type(error).__name__] += 1
            await asyncio.sleep(RECONNECT_S)

    async def _talk(self, account_id: int) -> None:
        async with self.stream(account_id) as socket:
            listening = asyncio.create_task(_listen(socket))
            try:
                number = 0
                while not listening.done():
                    number += 1
                    await socket.send_json({"type": "ping", "id": str(number)})
                    if number % 4 == 0:
                        await socket.send_json({"type": "subscribe", "symbols": ["EURUSD"]})
                    await asyncio.sleep(TALK_S)
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    async def _trade(self, account_id: int) -> None:
        random, upstream = self._random, self._upstream
        while True:
            await asyncio.sleep(PAUSE_S * random.uniform(0.5, 1.5))
            await self.call(account_id, "GET", "/account")
            listed = await self.call(account_id, "GET", "/orders?status=pending,open&limit=50")
            live = [] if listed is None else listed["orders"]
            if len(live) >= MAX_LIVE:
                await self._end(account_id, random.choice(live))
                continue
            symbol = random.choice(upstream.traded)
            mid, move = upstream.mids[symbol], upstream.moves[symbol]
            up = random.choice((-1, 1))
            kind = "BUY" if up > 0 else "SELL"
            if random.random() < 0.5:
                await self.place(account_id, symbol, kind, "0.01")
            else:
                at = mid + up * (upstream.spreads[symbol] + 2 * move)
                await self.place(
                    account_id,
                    symbol,
                    f"{kind}_STOP",
                    "0.01",
                    price=at,
                    stop_loss=at - up * (2 * upstream.spreads[symbol] + 4 * move),
                    take_profit=at + up * (2 * upstream.spreads[symbol] + 4 * move),
                )

    async def _end(self, account_id: int, order: dict[str, Any]) -> None:
        if order["status"] == "OPEN":
            await self.call(account_id, "POST", f"/orders/{order['order_id']}/close")
        else:
            await self.call(account_id, "DELETE", f"/orders/{order['order_id']}")


async def _listen(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass
