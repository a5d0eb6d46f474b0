"""Clients that trade: over REST, through whichever gateway answers, until each key has its answer.

Each has some accounts and does one thing after the other: orders at the market and near it, changed
stops, cancellations, closings, money in and out. An attempt that is not answered definitely is made
again with the same key at the next gateway; now and then one that was is, too, and must be answered
the same.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

import aiohttp

from service.api.orders import ORDER, ORDERS
from tests.adversity.commands import FUND, Asked
from tests.adversity.deployment import Deployment
from tests.adversity.views import View
from tests.drills.book import POOR_ACCOUNTS

PAUSE_S = 0.35
ATTEMPT_TIMEOUT_S = 8.0
AGAIN_S = 0.25
# Longer than any fault, and than what follows from it.
PATIENCE_S = 150.0
ASKED_AGAIN = 0.05
MAX_LIVE = 12  # of an account
MAX_FAULTS = 20
_TOO_MANY = 429
_NEVER = frozenset({400, 401, 403, 405, 500, "NOT_FOUND", "VALIDATION_FAILED"})


class Command(NamedTuple):
    """A request, and what it is."""

    what: str
    method: str
    path: str
    body: Mapping[str, Any]
    is_admin: bool = False


class Trader:
    """One client that trades, for accounts that its listener tells it of."""

    def __init__(
        self,
        name: str,
        deployment: Deployment,
        views: Mapping[int, View],
        random: Random,
        asked: list[Asked],
    ) -> None:
        """Set up: all that is asked goes to `asked` as well; `name` begins all keys."""
        self._name = name
        self._deployment = deployment
        self._views = views
        self._accounts: Sequence[int] = list(views)
        self._random = random
        self._asked = asked
        self._commands = 0
        self._stopping = asyncio.Event()
        self.statuses: Counter[str] = Counter()
        self.faults: list[str] = []

    async def run(self) -> None:
        """Trade until `stop`, and then until the last key has its answer."""
        async with aiohttp.ClientSession() as session:
            while not self._stopping.is_set():
                account_id = self._random.choice(self._accounts)
                await self.ask(session, account_id, self._choose(account_id))
                try:
                    async with asyncio.timeout(PAUSE_S * 2 * self._random.random()):
                        await self._stopping.wait()
                except TimeoutError:
                    pass

    def stop(self) -> None:
        self._stopping.set()

    async def ask(self, session: aiohttp.ClientSession, account_id: int, command: Command) -> Asked:
        """Ask until there is a definite answer, or `PATIENCE_S` are over."""
        self._commands += 1
        asked = Asked(account_id, f"{self._name}-{self._commands}", command.what)
        self._asked.append(asked)
        body = dict(command.body)
        if command.what == "place" and self._commands % 2:
            body["client_order_id"] = asked.key
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not asked.is_definite:
                    answer = await self._attempt(session, asked, command, body)
                    if answer is not None:
                        asked.answer = answer
                    elif not asked.is_definite:
                        asked.unheard += 1
                        await asyncio.sleep(AGAIN_S)
        except TimeoutError:
            self._fault(f"{asked.what} {asked.key} of account {account_id} was never answered")
            return asked
        if asked.answer is not None and self._random.random() < ASKED_AGAIN:
            other = await self._attempt(session, asked, command, body)
            if other is not None:
                asked.others.append(other)
        return asked

    async def _attempt(
        self,
        session: aiohttp.ClientSession,
        asked: Asked,
        command: Command,
        body: Mapping[str, Any],
    ) -> Any:
        """Return what it was answered if it was done; take note if it was refused."""
        gateway = self._random.choice(self._deployment.gateways)
        token = self._deployment.token(*(() if command.is_admin else (asked.account_id,)))
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": asked.key}
        try:
            async with session.request(
                command.method,
                gateway.address + command.path,
                json=body or None,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=ATTEMPT_TIMEOUT_S),
            ) as response:
                found = await response.json(content_type=None)
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.statuses[type(error).__name__] += 1
            return None
        self.statuses[str(status)] += 1
        if status < 300:
            return found
        code = str(found.get("code"))
        if status in _NEVER or code in _NEVER:
            self._fault(f"{command.method} {command.path} was answered {status}: {found}")
        elif status < 500 and status != _TOO_MANY and asked.answer is None:
            asked.refusal = code
        elif status < 500 and status != _TOO_MANY:
            asked.others.append(found)
        return None

    # What it does

    def _choose(self, account_id: int) -> Command:
        random, view = self._random, self._views[account_id]
        live = list(view.orders.values())
        chance = random.random()
        if chance < 0.1:
            return self._fund(account_id)
        if not live or (chance < 0.55 and len(live) < MAX_LIVE):
            return self._place(account_id)
        order = random.choice(live)
        path = ORDER.format(order_id=order["order_id"])
        if chance < 0.7:
            return Command("modify", "PATCH", path, self._change(order))
        if order["status"] == "PENDING":
            return Command("cancel", "DELETE", path, {})
        return Command("close", "POST", path + "/close", {})

    def _place(self, account_id: int) -> Command:
        random, upstream = self._random, self._deployment.upstream
        symbol = random.choice(upstream.traded)
        is_buy, is_poor = random.random() < 0.5, account_id in POOR_ACCOUNTS
        side = "BUY" if is_buy else "SELL"
        lots = random.randint(5, 30) if is_poor else random.randint(1, 40)
        body: dict[str, Any] = {"symbol": symbol, "volume": f"{lots / 100:.2f}"}
        up = 1 if is_buy else -1
        if random.random() < 0.35:
            body["type"], at = side, 0
        else:
            is_limit, away = random.random() < 0.5, random.randint(8, 60)
            body["type"] = f"{side}_{'LIMIT' if is_limit else 'STOP'}"
            at = -up * away if is_limit else up * away
            body["price"] = self._price(symbol, at)
        if random.random() < 0.5:
            body["stop_loss"] = self._price(symbol, at - up * random.randint(60, 300))
        if random.random() < 0.5:
            body["take_profit"] = self._price(symbol, at + up * random.randint(60, 300))
        return Command("place", "POST", ORDERS, body)

    def _change(self, order: Mapping[str, Any]) -> dict[str, Any]:
        up = 1 if order["type"].startswith("BUY") else -1
        away = up * self._random.randint(60, 400)
        name = self._random.choice(("stop_loss", "take_profit"))
        return {name: self._price(order["symbol"], -away if name == "stop_loss" else away)}

    def _price(self, symbol: str, points: int) -> str:
        upstream = self._deployment.upstream
        digits = upstream.digits[symbol]
        # Gold moves by more of its points than currencies do.
        scaled = round(upstream.mids[symbol] + points * max(1.0, upstream.moves[symbol]))
        return f"{scaled / 10**digits:.{digits}f}"

    def _fund(self, account_id: int) -> Command:
        amount = self._random.randint(1, 20_000) / 100
        deed = "deposits" if self._random.random() < 0.6 else "withdrawals"
        path = f"/api/v1/admin/accounts/{account_id}/{deed}"
        body = {"amount": f"{amount:.2f}", "reason": "as the dice fell"}
        return Command(FUND, "POST", path, body, is_admin=True)

    def _fault(self, fault: str) -> None:
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(fault)
