"""What a process of any role stands on: stores, instruments, loops, readiness and the ops port."""

from collections.abc import AsyncIterator, Callable
from random import Random

from aiohttp import web

from service.api.ops import build_ops
from service.api.readiness import Readiness
from service.api.serving import runner_of
from service.domain.instrument import Symbol
from service.health import cache_check, database_check
from service.loops.own_state import OwnState
from service.loops.supervisor import Supervisor
from service.parts.listening import listen
from service.roles import ServiceRole
from service.servers import Servers
from service.settings import Settings
from service.storage.cache import Cache
from service.storage.database import Database
from service.storage.generations import OwnGenerations
from service.storage.reader import Reader
from service.traces import traced_instruments
from telemetry.logs import Logs


class Foundation:
    """Stores, instruments, loops and readiness of one process.

    Its lifetimes are `sending_spans`, `ops`, `stores` and `own_state`, to be begun in this order.
    """

    def __init__(
        self,
        settings: Settings,
        role: ServiceRole,
        servers: Servers,
        logs: Logs,
        symbols: Callable[[], dict[str, Symbol]],
        is_working: Callable[[], bool],
    ) -> None:
        """Take the symbols of the moment, and whether this process works or is a standby."""
        self._settings = settings
        self.instruments, self.sending_spans = traced_instruments(settings)
        self.instruments.watch_logs(logs.count, lambda: logs.dropped)
        self.instruments.has_role(role)
        self.instruments.declare_shards(settings.shards)
        self.database = Database(
            servers.database_dsn, self.instruments, settings.database_connections
        )
        self.cache = Cache(servers.redis_url, self.instruments)
        self.cache.generations = OwnGenerations(settings.shards)
        self.reader = Reader(self.database, symbols)
        self.supervisor = Supervisor(self.instruments, Random())
        self.readiness = Readiness(is_working)
        self.readiness.register("database", database_check(self.database.ping))
        # What others than `all` do goes by Redis.
        self.readiness.register(
            "redis", cache_check(self.cache.ping), required=role is not ServiceRole.ALL
        )
        self._own_state = OwnState(self.instruments, self.database, self.cache)

    async def ops(self, _: web.Application) -> AsyncIterator[None]:
        """Answer probes and scrapes."""
        runner = runner_of(build_ops(self.instruments, self.readiness, self.supervisor))
        await runner.setup()
        try:
            host, port = self._settings.ops_host, self._settings.ops_port
            await listen(runner, "the ops port", host, port, "TAPEWATCH_OPS")
            yield
        finally:
            await runner.cleanup()

    async def stores(self, _: web.Application) -> AsyncIterator[None]:
        """Close the stores in the end."""
        yield
        await self.cache.close()
        await self.database.close()

    async def own_state(self, _: web.Application) -> AsyncIterator[None]:
        """Have the process itself and the servers it uses measured."""
        async with self.supervisor.group() as loops:
            self._own_state.keep(loops)
            yield
