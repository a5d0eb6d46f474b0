"""One run: load, faults, and what must hold, all along and in the end.

In the end the load stops, all faults are healed, and the market stands still; then everything must
agree. Last of all every live order is ended by its owner, as a roll-call of the engines' memory.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import NamedTuple

import aiohttp

from tests.adversity.administrators import Administrator
from tests.adversity.checks import Checks
from tests.adversity.commands import Asked
from tests.adversity.counters import Counters
from tests.adversity.deployment import ACCOUNTS, Deployment
from tests.adversity.faults import Fault
from tests.adversity.injector import Injector
from tests.adversity.listeners import Listener
from tests.adversity.logged import errors_of
from tests.adversity.market import move_market
from tests.adversity.traders import Trader
from tests.adversity.views import View

TRADERS = 12
ACCOUNTS_EACH = 6
TOLD_TWICE = 2  # accounts of each trader that a second client listens to
COUNTED_EVERY_S = 3.0
CHECKED_EVERY_S = 30.0
COUNT_TIMEOUT_S = 2.0
SETTLE_TIMEOUT_S = 90.0
QUOTED_S = 2.0
STILL_S = 2.0
POLL_S = 0.1


class Plan(NamedTuple):
    """A run: its seed, its faults, and how many clients trade."""

    seed: int
    faults: Sequence[Fault] = ()
    traders: int = TRADERS


class Adversity:
    """One run on one deployment."""

    def __init__(self, plan: Plan, deployment: Deployment, tell: Callable[[str], None]) -> None:
        """Set up: `tell` takes a line for each fault, and for each violation."""
        self._plan = plan
        self._on = deployment
        self._tell = tell
        self._random = random = Random(plan.seed)
        self._listening: list[asyncio.Task[None]] = []
        self._seconds = 0.0
        accounts = random.sample(ACCOUNTS, plan.traders * ACCOUNTS_EACH)
        self.asked: list[Asked] = []
        self.listeners: list[Listener] = []
        self.traders: list[Trader] = []
        for number in range(plan.traders):
            mine = accounts[number * ACCOUNTS_EACH : (number + 1) * ACCOUNTS_EACH]
            listener = Listener(deployment, mine, Random(random.random()))
            other = Listener(deployment, mine[:TOLD_TWICE], Random(random.random()))
            self.listeners += [listener, other]
            chance = Random(random.random())
            self.traders.append(
                Trader(f"t{number}", deployment, listener.views, chance, self.asked)
            )
        self.administrator = Administrator(deployment, Random(random.random()))
        self.injector = Injector(deployment, tell)
        self.counters = Counters()
        self.checks = Checks(deployment, tell)

    @property
    def views(self) -> list[View]:
        """What all clients know of their accounts."""
        return [view for each in self.listeners for view in each.views.values()]

    @property
    def _asking(self) -> list[Trader | Administrator]:
        return [*self.traders, self.administrator]

    async def run(self) -> dict[str, object]:
        """Do it all; return the summary, with what was violated."""
        async with self.loaded():
            await self.injector.inject(self._plan.faults)
            self._tell("all faults are over; what is on its way is waited for")
        await self.finish()
        return self.summary()

    @asynccontextmanager
    async def loaded(self) -> AsyncIterator[None]:
        """Trade, listen, move prices, count and check; at the end of the block traders end."""
        began = time.monotonic()
        self._listening = [asyncio.create_task(each.run()) for each in self.listeners]
        trading = [asyncio.create_task(each.run()) for each in self._asking]
        others = [
            asyncio.create_task(move_market(self._on.upstream, self._random)),
            asyncio.create_task(_again(self.count, COUNTED_EVERY_S)),
            asyncio.create_task(_again(lambda: self.checks.look(self.asked), CHECKED_EVERY_S)),
        ]
        try:
            yield
            self._seconds = time.monotonic() - began
            for each in self._asking:
                each.stop()
            await asyncio.gather(*trading)
        finally:
            await self._ended("the load", [*trading, *others])

    async def finish(self) -> None:
        """Let all come to rest, and check everything."""
        upstream = self._on.upstream
        try:
            await self._on.traded()
            await self._quoted()
            await asyncio.sleep(QUOTED_S)
            upstream.silent |= set(upstream.traded)
            await self._settled()
            await self.count()
            await self.checks.look_at_all(self.asked, self.views)
            await self.checks.look_at_settings(self.administrator.changes)
            upstream.silent.clear()
            await self._quoted()
            await self.checks.end_all()
        except TimeoutError as error:
            self.checks.found("rest", [f"it does not come to rest: {error!r}"])
        finally:
            await self._ended("a client", self._listening)
        self.checks.found("the injector", self.injector.faults)
        ended = [each.name for each in self._on.members.values() if not each.instance.is_running]
        self.checks.found("processes", [f"{name} has ended by itself" for name in ended])
        self.checks.found("clients", [fault for each in self._asking for fault in each.faults])
        self.checks.found("counters", self.counters.faults())

    async def count(self) -> None:
        """Look at what the processes count, as far as they answer."""
        timeout = aiohttp.ClientTimeout(total=COUNT_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            for member in self._on.members.values():
                with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                    async with session.get(f"http://{member.instance.ops}/metrics") as response:
                        self.counters.take(member.name, await response.text())

    async def _quoted(self) -> None:
        """Wait until a gateway is ready: it has young quotes then."""
        async with asyncio.timeout(SETTLE_TIMEOUT_S):
            while True:
                for gateway in self._on.gateways:
                    if await gateway.instance.answers("/readyz") == 200:
                        return
                await asyncio.sleep(POLL_S)

    async def _settled(self) -> None:
        """Wait until nothing is stored any more and every client was told all of it.

        Who is not by `SETTLE_TIMEOUT_S` is found by the checks, which say what is missing.
        """
        before = -1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_TIMEOUT_S):
                while True:
                    await asyncio.sleep(STILL_S)
                    [(events,)] = await self._on.fetch("SELECT count(*) FROM outbox")
                    stored = dict(await self._on.fetch("SELECT account_id, sequence FROM accounts"))
                    are_told = all(view.sequence == stored[view.account_id] for view in self.views)
                    if events == before and are_told:
                        return
                    before = events

    async def _ended(self, what: str, tasks: Sequence["asyncio.Task[None]"]) -> None:
        """End tasks; what went wrong in one of them is a violation."""
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                self.checks.found("harness", [f"{what} failed: {result!r}"])

    def summary(self) -> dict[str, object]:
        """Tell what was done and found, as JSON can."""
        faults, seconds = len(self._plan.faults), self._seconds
        statuses = sum((each.statuses for each in self.traders), Counter[str]())
        refusals = sum((each.refusals for each in self.listeners), Counter[str]())
        return {
            "seed": self._plan.seed,
            "faults": faults,
            "faults_by_kind": dict(self.injector.done),
            "seconds": round(seconds, 1),
            "faults_per_s": round(faults / seconds, 2) if seconds else None,
            "most_faults_at_once": self.injector.most_at_once,
            "started_again": sum(each.started_again for each in self._on.members.values()),
            "take_overs": self.checks.take_overs,
            "commands": len(self.asked),
            "done": sum(each.answer is not None for each in self.asked),
            "refused": dict(Counter(each.refusal for each in self.asked if each.refusal)),
            "asked_again": sum(each.unheard for each in self.asked),
            "statuses": dict(statuses),
            "deals": self.checks.deals,
            "settings_changed": len(self.administrator.changes),
            "settings_statuses": dict(self.administrator.statuses),
            "sockets": sum(each.connected for each in self.listeners),
            "sockets_refused": dict(refusals),
            "events_told": sum(len(view.events) for view in self.views),
            "snapshots_behind": sum(view.went_back for view in self.views),
            "checks": self.checks.made,
            "counters": self.counters.told(),
            "errors_logged": errors_of(each.instance.log for each in self._on.members.values()),
            "violations": self.checks.violations,
        }


async def _again(look: Callable[[], Awaitable[None]], every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        await look()
