"""An administrator who changes settings meanwhile: markups of groups, and what may be traded.

What he asks for is asked until it is answered as done. Settings have no key: of an attempt that
nobody heard of it is not known when it was done, so that the last one that was answered need not be
the last that was done; only what was never unheard of is held against what is stored.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import aiohttp

from service.api.admin_dealing import SYMBOL_STATE
from service.api.admin_settings import TERMS
from service.domain.instrument import CommissionType, CommissionValueType, TradingState
from tests.adversity.deployment import GROUPS, Deployment
from tests.drills.book import group_name

PAUSE_S = 2.5
STATE_EVERY = 4
LONGEST_CLOSED_S = 1.5
ATTEMPT_TIMEOUT_S = 8.0
PATIENCE_S = 150.0
AGAIN_S = 0.25
MOST_MARKUP = 6
STORED_SPREADS = "SELECT group_name, symbol, spread::bigint FROM group_symbols"
VERSIONS = "SELECT shard, settings_version FROM shard_leases ORDER BY shard"


class Unanswered(Exception):
    """What an administrator asks for is not done."""


Spreads = Mapping[tuple[str, str], int]


@dataclass(slots=True)
class Change:
    """A markup that was asked for; `unheard`: attempts without an answer."""

    group: str
    symbol: str
    spread: int
    unheard: int = 0
    is_done: bool = False


class Administrator:
    """One of them, at whichever gateway answers."""

    def __init__(self, deployment: Deployment, random: Random) -> None:
        self._deployment = deployment
        self._random = random
        self._stopping = asyncio.Event()
        self.changes: list[Change] = []
        self.statuses: Counter[str] = Counter()
        self.faults: list[str] = []

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Change something now and then until `stop`; then everything may be traded."""
        async with aiohttp.ClientSession() as session:
            while not self._stopping.is_set():
                try:
                    await self._change(session)
                except Unanswered as error:
                    self.faults.append(str(error))
                    return
                try:
                    async with asyncio.timeout(PAUSE_S * 2 * self._random.random()):
                        await self._stopping.wait()
                except TimeoutError:
                    pass

    async def _change(self, session: aiohttp.ClientSession) -> None:
        random = self._random
        symbol = random.choice(self._deployment.upstream.traded)
        if len(self.changes) % STATE_EVERY == STATE_EVERY - 1:
            await self._set_state(session, symbol, TradingState.CLOSE_ONLY)
            await asyncio.sleep(random.uniform(0.0, LONGEST_CLOSED_S))
            await self._set_state(session, symbol, TradingState.ACTIVE)
        group = group_name(random.randrange(GROUPS))
        await self._set_spread(session, group, symbol, random.randint(0, MOST_MARKUP))

    async def _set_spread(
        self, session: aiohttp.ClientSession, group: str, symbol: str, spread: int
    ) -> None:
        change = Change(group, symbol, spread)
        self.changes.append(change)
        digits = self._deployment.upstream.digits[symbol]
        body = {
            "spread": str(spread),
            "spread_pip": f"{10**-digits:.{digits}f}",
            "commission_type": CommissionType.ENTRY.value,
            "commission_value_type": CommissionValueType.PER_LOT.value,
            "commission": "2.00",
            "reason": "as the dice fell",
        }
        path = f"{TERMS}/{{symbol}}".format(group=group, symbol=symbol)
        change.unheard = await self._put(session, path, body)
        change.is_done = True

    async def _set_state(
        self, session: aiohttp.ClientSession, symbol: str, state: TradingState
    ) -> None:
        body = {"state": state.value, "reason": "as the dice fell"}
        await self._put(session, SYMBOL_STATE.format(symbol=symbol), body)

    async def _put(self, session: aiohttp.ClientSession, path: str, body: Any) -> int:
        """Ask until it is done; return how many attempts had no answer, or not that one.

        Raises:
            Unanswered: it is refused, or nobody has answered for `PATIENCE_S`.
        """
        unheard = 0
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not await self._attempt(session, path, body):
                    unheard += 1
                    await asyncio.sleep(AGAIN_S)
        except TimeoutError:
            raise Unanswered(f"PUT {path} was never answered") from None
        return unheard

    async def _attempt(self, session: aiohttp.ClientSession, path: str, body: Any) -> bool:
        gateway = self._random.choice(self._deployment.gateways)
        try:
            async with session.put(
                gateway.address + path,
                json=body,
                headers={"Authorization": f"Bearer {self._deployment.token()}"},
                timeout=aiohttp.ClientTimeout(total=ATTEMPT_TIMEOUT_S),
            ) as response:
                text = await response.text()
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.statuses[type(error).__name__] += 1
            return False
        self.statuses[str(status)] += 1
        if status not in (200, 503):
            raise Unanswered(f"PUT {path} was answered {status}: {text}")
        return status == 200


def settings_faults(
    changes: Iterable[Change],
    stored: Spreads,
    told: Mapping[str, Spreads],
    versions: Iterable[tuple[int, int]],
) -> list[str]:
    """Return where settings are not as they were asked for, or not the same everywhere.

    Args:
        changes: all of them, in order.
        stored: markups by group and symbol, as in the database.
        told: the same, as each gateway tells them.
        versions: up to which version each shard has taken settings over.
    """
    faults = []
    asked: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        asked.setdefault((change.group, change.symbol), []).append(change)
    for (group, symbol), mine in asked.items():
        last = mine[-1]
        possible = {last.spread, *(each.spread for each in mine if each.unheard)}
        found = stored[group, symbol]
        if last.is_done and found not in possible:
            faults.append(
                f"markup of {group} on {symbol}: {last.spread} was set, stored is {found}"
            )
    for gateway, theirs in told.items():
        faults += [
            f"markup of {' on '.join(key)}: {gateway} has {theirs.get(key)}, stored is {spread}"
            for key, spread in stored.items()
            if theirs.get(key) != spread
        ]
    taken = dict(versions)
    newest = max(taken.values())
    faults += [
        f"shard {shard} has settings of version {version}, the newest is {newest}"
        for shard, version in taken.items()
        if version != newest
    ]
    return faults
