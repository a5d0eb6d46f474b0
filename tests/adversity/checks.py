"""Everything that is checked of a deployment, all along and once it has come to rest."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any

import aiohttp

from service.api.admin_dealing import EXPOSURE
from service.api.admin_settings import TERMS
from service.api.orders import ORDER
from service.domain.money import VOLUME_DIGITS, parse_scaled
from service.verify.fault import Rule
from tests.adversity import commands, last_prices, lease_log
from tests.adversity.administrators import STORED_SPREADS, VERSIONS, Change, settings_faults
from tests.adversity.commands import Asked, Effect, StoredCommand
from tests.adversity.deployment import ACCOUNTS, Deployment
from tests.adversity.lease_log import LeaseLine, StoredEvent
from tests.adversity.member import Member
from tests.adversity.traders import Command, Trader
from tests.adversity.views import State, View, told_faults
from tests.drills.book import POOR, RICH, RICH_ACCOUNTS

ASK_TIMEOUT_S = 90.0
POLL_S = 0.1
ENDED_AT_ONCE = 8
MAX_TOLD = 100
_OUTBOX = "SELECT account_id, sequence, payload FROM outbox ORDER BY account_id, sequence"
_DEALS = "SELECT event || ' ' || reason, count(*) FROM deals GROUP BY 1 ORDER BY 1"
_LIVE = "SELECT order_id, account_id, status FROM orders WHERE status IN ('PENDING', 'OPEN')"
_STORED_OF = f"""
{commands.STORED} WHERE (account_id, key) IN (SELECT * FROM unnest($1::bigint[], $2::text[]))
"""


class Checks:
    """Looks at one deployment, and keeps what was violated."""

    def __init__(self, deployment: Deployment, tell: Callable[[str], None]) -> None:
        self._on = deployment
        self._tell = tell
        self._checked: set[tuple[int, str]] = set()
        self.violations: list[str] = []
        self.made = 0
        self.take_overs = 0
        self.deals: dict[str, int] = {}

    def found(self, where: str, faults: Sequence[str]) -> None:
        """Take note of violations, of so many as anybody reads."""
        for fault in faults:
            if len(self.violations) < MAX_TOLD:
                self.violations.append(f"{where}: {fault}")
                self._tell(f"VIOLATION {where}: {fault}")

    async def look(self, asked: Iterable[Asked]) -> None:
        """Check what must hold at every moment, while everything goes on."""
        self.made += 1
        definite = [
            each
            for each in asked
            if each.is_definite and (each.account_id, each.key) not in self._checked
        ]
        keys = [(each.account_id, each.key) for each in definite]
        self._checked.update(keys)
        rows = await self._on.fetch(_STORED_OF, [key[0] for key in keys], [key[1] for key in keys])
        self.found("commands", commands.command_faults(definite, _stored(rows)))
        # While other shards take settings over from their owner, a trigger may be an old one.
        faults = [each for each in await self._on.verified() if not each.startswith(Rule.TRIGGER)]
        self.found("verify", faults)

    async def look_at_all(self, asked: Sequence[Asked], views: Iterable[View]) -> None:
        """Check everything once nothing is on its way any more, and the market stands still."""
        on = self._on
        self.found("verify", await on.verified())
        stored = _stored(await on.fetch(commands.STORED))
        self.found("commands", commands.command_faults(asked, stored))
        effects = [Effect(*row) for row in await on.fetch(commands.EFFECTS)]
        self.found("effects", commands.effect_faults(effects, stored))
        lines = [LeaseLine(*row) for row in await on.fetch(lease_log.LINES)]
        events = [StoredEvent(*row) for row in await on.fetch(lease_log.STORED)]
        self.found("leases", lease_log.lease_faults(lines, events, on.shards))
        self.take_overs = lease_log.take_overs(lines)
        self.deals = dict(await on.fetch(_DEALS))
        outbox = [(row[0], row[1], row[2]) for row in await on.fetch(_OUTBOX)]
        self.found("streams", told_faults(views, outbox, _opened()))
        armed = [last_prices.Armed(*row) for row in await on.fetch(last_prices.ARMED)]
        self.found("triggers", last_prices.crossed_faults(armed, _prices(on)))
        await self._look_at_memory()
        if not any(each.answer is not None for each in asked):
            self.found("load", ["nothing that was asked for was done"])

    async def look_at_settings(self, changes: Iterable[Change]) -> None:
        """Check that every gateway and every shard has the settings that are stored."""
        on = self._on
        stored = {(row[0], row[1]): row[2] for row in await on.fetch(STORED_SPREADS)}
        told = {
            gateway.name: {
                (group, each["symbol"]): int(each["spread"])
                for group in dict.fromkeys(key[0] for key in stored)
                for each in (await self._told([gateway], TERMS.format(group=group)))["symbols"]
            }
            for gateway in on.gateways
        }
        versions = [(row[0], row[1]) for row in await on.fetch(VERSIONS)]
        self.found("settings", settings_faults(changes, stored, told, versions))

    async def end_all(self) -> None:
        """Have every live order ended by its owner: none may be unknown, none may be left.

        What an engine does not have in memory, it cannot end; what it has beyond the database would
        be left over.
        """
        asked: list[Asked] = []
        ender = Trader("end", self._on, {}, Random(0), asked)
        gate = asyncio.Semaphore(ENDED_AT_ONCE)
        async with aiohttp.ClientSession() as session:

            async def end(order_id: int, account_id: int, status: str) -> None:
                path = ORDER.format(order_id=order_id)
                if status == "PENDING":
                    command = Command("cancel", "DELETE", path, {})
                else:
                    command = Command("close", "POST", f"{path}/close", {})
                async with gate:
                    done = await ender.ask(session, account_id, command)
                if done.refusal == "ORDER_NOT_FOUND":
                    self.found("memory", [f"order {order_id} is stored, and not known"])

            await asyncio.gather(*(end(*row) for row in await self._on.fetch(_LIVE)))
            for row in await self._on.fetch(_LIVE):  # what has triggered meanwhile
                await end(*row)
        left = await self._on.fetch(_LIVE)
        self.found("memory", [f"order {row[0]} cannot be ended" for row in left])
        self.found("traders", ender.faults)
        self.found("commands", commands.command_faults(asked, await self._all_stored()))
        await self._look_at_memory()
        self.found("verify", await self._on.verified())

    async def _all_stored(self) -> list[StoredCommand]:
        return _stored(await self._on.fetch(commands.STORED))

    async def _look_at_memory(self) -> None:
        rows = await self._on.fetch(last_prices.EXPOSED)
        stored = {symbol: (long, short) for symbol, long, short in rows}
        told = {
            each["symbol"]: (_lots(each["long"]), _lots(each["short"]))
            for each in (await self._told(self._on.gateways, EXPOSURE))["symbols"]
        }
        self.found("memory", last_prices.exposure_faults(told, stored))

    async def _told(self, gateways: Sequence[Member], path: str) -> Any:
        """Ask gateways in turns what an administrator may see, until one can tell."""
        headers = {"Authorization": f"Bearer {self._on.token()}"}
        async with asyncio.timeout(ASK_TIMEOUT_S), aiohttp.ClientSession() as session:
            attempt = 0
            while True:
                gateway = gateways[attempt % len(gateways)]
                attempt += 1
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    async with session.get(gateway.address + path, headers=headers) as response:
                        if response.status == 200:
                            return await response.json()
                await asyncio.sleep(POLL_S)


def _stored(rows: Iterable[tuple[Any, ...]]) -> list[StoredCommand]:
    return [StoredCommand(*row) for row in rows]


def _lots(text: str) -> int:
    return parse_scaled(text, VOLUME_DIGITS)


def _opened() -> Mapping[int, State]:
    """Return the accounts of the book, before anything has happened to them."""
    return {each: State(str(RICH if each in RICH_ACCOUNTS else POOR), "0", {}) for each in ACCOUNTS}


def _prices(on: Deployment) -> dict[str, tuple[int, int]]:
    """Return the last quotes: bid and ask of each symbol."""
    bids = {
        name: round(mid - on.upstream.spreads[name] / 2) for name, mid in on.upstream.mids.items()
    }
    return {name: (bid, bid + on.upstream.spreads[name]) for name, bid in bids.items()}
