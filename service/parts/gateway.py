"""The gateway part of a process: the API and what it reads and hears by itself."""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from importlib.metadata import version

from aiohttp import web

from service.api.addresses import parse_networks
from service.api.connections import ConnectionLimits
from service.api.gateway import WATCHED_ACCOUNTS, build_gateway
from service.api.ports import Market
from service.api.rates import RateLimits
from service.loops.administration import Administration, CatchUp
from service.loops.bus import Bus
from service.loops.portfolio import Portfolios
from service.loops.prices import PriceBoard
from service.loops.revocations import REVOCATIONS_INTERVAL_S, Revocations
from service.open_files import room_for
from service.parts.foundation import Foundation
from service.settings import Settings
from service.signing import SigningSecrets
from service.storage.errors import Unreachable
from service.storage.events import EventFeed
from service.storage.revocations import RevocationStore
from service.storage.settings_version import SettingsVersions


class GatewayPart:
    """Answers clients: `app` is the API; its lifetime is `answer`."""

    def __init__(
        self,
        settings: Settings,
        base: Foundation,
        redis_url: str,
        secrets: SigningSecrets,
        market: Market,
        bus: Bus,
        board: PriceBoard,
        latest: Callable[[int], int | None],
        catch_up: CatchUp | None = None,
    ) -> None:
        """Take what tells the newest sequence decided of an account, if that is known here.

        `catch_up` is as of `Administration`.

        Raises:
            ValueError: the signing secret is too short.
        """
        self._settings = settings
        self._base = base
        max_token_s = settings.max_token_hours * 3600
        self._events = EventFeed(redis_url, base.reader, base.instruments, latest)
        self._events.settings_listeners.append(base.cache.groups)
        self._revocations = Revocations(RevocationStore(base.database), max_token_s)
        self.app = build_gateway(
            market=market,
            commands=bus,
            administration=Administration(bus, SettingsVersions(base.database), catch_up),
            reader=base.reader,
            portfolios=Portfolios(base.cache, base.reader, lambda: market.desk),
            board=board,
            feed=self._events,
            loops=base.supervisor,
            instruments=base.instruments,
            revocations=self._revocations,
            secret=secrets.current,
            previous_secret=secrets.previous,
            max_token_s=max_token_s,
            version=version("tapewatch"),
            rates=RateLimits(
                settings.account_commands_per_s,
                settings.account_reads_per_s,
                settings.address_commands_per_s,
                settings.address_reads_per_s,
            ),
            connections=ConnectionLimits(
                room_for(settings.max_connections), settings.address_connections
            ),
            proxies=parse_networks(settings.trusted_proxies),
        )

    async def answer(self, _: web.Application) -> AsyncIterator[None]:
        """Hear of events and revoked tokens, and push what accounts are worth."""
        revocations, push_s = self._revocations, self._settings.portfolio_push_interval_s
        async with self._base.supervisor.group() as loops:
            with suppress(Unreachable):  # the loop asks again
                await revocations.run_once()
            loops.repeat("revocations", revocations.run_once, interval_s=REVOCATIONS_INTERVAL_S)
            loops.keep("events", self._events.run, self._events.pulse)
            loops.repeat("portfolio_push", self.app[WATCHED_ACCOUNTS].push, interval_s=push_s)
            yield
