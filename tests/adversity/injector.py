"""Does the faults of a plan to a deployment, and tells when each begins and is over."""

import asyncio
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from tests.adversity.deployment import Deployment
from tests.adversity.faults import POSTGRES, Fault, Kind
from tests.adversity.member import Member
from tests.faultproxy import FaultProxy
from tests.redis_cluster import Server
from tests.support import eventually

MAX_AT_ONCE = 8
DELAYED_BY_S = (0.02, 0.05, 0.2)
END_TIMEOUT_S = 60.0


class Injector:
    """Hurts one deployment."""

    def __init__(self, deployment: Deployment, tell: Callable[[str], None]) -> None:
        """Set up: `tell` takes one line at each beginning and end."""
        self._deployment = deployment
        self._tell = tell
        self._began = time.monotonic()
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.done: Counter[str] = Counter()
        self.at_once = 0
        self.most_at_once = 0
        self.faults: list[str] = []

    async def inject(self, plan: Sequence[Fault]) -> None:
        """Do all of a plan; when this returns, all are over."""
        places = asyncio.Semaphore(MAX_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for fault in plan:
                await asyncio.sleep(fault.after_s)
                await places.acquire()
                group.create_task(self._one(fault, places))

    async def _one(self, fault: Fault, places: asyncio.Semaphore) -> None:
        try:
            async with self._locks[fault.target]:
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                self._say(fault, str(fault.kind))
                try:
                    await self._do(fault)
                    self.done[fault.kind.name] += 1
                except TimeoutError as error:
                    self.faults.append(
                        f"fault {fault.number}: {fault.target} has not come back: {error!r}"
                    )
                finally:
                    self.at_once -= 1
                    self._say(fault, "over")
        finally:
            places.release()

    def _say(self, fault: Fault, what: str) -> None:
        seconds = time.monotonic() - self._began
        self._tell(f"{seconds:8.2f} s  #{fault.number} {fault.target}: {what}")

    async def _do(self, fault: Fault) -> None:
        deployment = self._deployment
        name, _, link = fault.target.partition(">")
        if link:
            await self._hurt_links(fault, _proxies(deployment.members[name], link))
        elif name == POSTGRES:
            await deployment.restart_postgres()
        elif name in deployment.members:
            await self._hurt_process(fault, deployment.members[name])
        else:
            number = int(name.rpartition("-")[2])
            await self._hurt_node(fault, deployment.cluster.servers[number - 1])

    async def _hurt_process(self, fault: Fault, member: Member) -> None:
        instance = member.instance
        if not instance.is_running:
            self.faults.append(f"{member.name} has ended by itself: {instance.log[-500:]}")
            await member.start()
        match fault.kind:
            case Kind.KILL:
                await member.kill()
            case Kind.END:
                instance.send(signal.SIGTERM)
                await eventually(lambda: not instance.is_running, END_TIMEOUT_S)
            case _:
                async with instance.stopped():
                    await asyncio.sleep(fault.lasts_s)
                return
        await asyncio.sleep(fault.lasts_s)
        await member.start()

    async def _hurt_links(self, fault: Fault, proxies: Sequence[FaultProxy]) -> None:
        match fault.kind:
            case Kind.CUT:
                await _cut(proxies)
                await asyncio.sleep(fault.lasts_s)
                await _restore(proxies)
            case Kind.DELAY:
                delay_s = DELAYED_BY_S[fault.number % len(DELAYED_BY_S)]
                for proxy in proxies:
                    proxy.delay_s = delay_s
                await asyncio.sleep(fault.lasts_s)
                for proxy in proxies:
                    proxy.delay_s = 0.0
            case Kind.DEAF:
                for proxy in proxies:
                    proxy.is_deaf = True
                await asyncio.sleep(fault.lasts_s)
                await _cut(proxies)
                for proxy in proxies:
                    proxy.is_deaf = False
                await _restore(proxies)
            case _:
                for proxy in proxies:
                    proxy.pause()
                await asyncio.sleep(fault.lasts_s)
                for proxy in proxies:
                    proxy.resume()

    async def _hurt_node(self, fault: Fault, server: Server) -> None:
        if fault.kind is Kind.KILL:
            server.kill()
            await asyncio.sleep(fault.lasts_s)
            server.start()
        else:
            server.send(signal.SIGSTOP)
            await asyncio.sleep(fault.lasts_s)
            server.send(signal.SIGCONT)


def _proxies(member: Member, link: str) -> Sequence[FaultProxy]:
    """Return the proxies of a link; `redis` is all nodes."""
    if link in member.links:
        return [member.links[link]]
    return [proxy for name, proxy in member.links.items() if name.startswith(f"{link}-")]


async def _cut(proxies: Sequence[FaultProxy]) -> None:
    for proxy in proxies:
        await proxy.cut()


async def _restore(proxies: Sequence[FaultProxy]) -> None:
    for proxy in proxies:
        await proxy.restore()
