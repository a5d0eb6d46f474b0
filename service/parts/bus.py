"""What joins a process to the others of its deployment: the bus, and what is told of the cache."""

from collections.abc import AsyncIterator, Callable

from aiohttp import web

from service.loops.redis_bus import RedisBus
from service.parts.foundation import Foundation
from service.roles import ServiceRole
from service.settings import Settings
from service.storage.generations import HEAR_INTERVAL_S, HeardGenerations, ToldGenerations


class BusPart:
    """The end of the bus that a process of one role has; its lifetime is `carry`."""

    def __init__(
        self,
        settings: Settings,
        role: ServiceRole,
        base: Foundation,
        redis_url: str,
        leads: Callable[[int], bool],
    ) -> None:
        """Take whether a shard's lease is this process's own and was renewed in time."""
        self._role = role
        self._base = base
        shards, link = settings.shards, base.cache.link
        self.bus = RedisBus(
            redis_url,
            shards,
            base.instruments,
            base.database,
            base.reader.answer,
            leads,
            role.new_holder(),
            settings.lease_s,
        )
        self._told = ToldGenerations(link, shards, lambda: list(filter(leads, range(shards))))
        self._heard = HeardGenerations(link, shards)
        base.cache.generations = self._told if role.trades else self._heard
        if not role.feeds:
            base.readiness.register("bus", self._check)
            base.readiness.register("ticks", self.bus.check_ticks)

    async def carry(self, _: web.Application) -> AsyncIterator[None]:
        """Carry quotes and requests; what is under way in the end is sent."""
        async with self._base.supervisor.group() as loops:
            self.bus.keep(loops)
            if self._role.trades:
                loops.keep("generations", self._told.run, self._told.pulse)
            if self._role.answers:
                loops.repeat("generations", self._heard.hear, interval_s=HEAR_INTERVAL_S)
            yield
        await self.bus.stop()

    async def _check(self) -> tuple[bool, str]:
        is_connected = self.bus.is_connected
        return is_connected, "connected" if is_connected else "does not hear all of Redis yet"
