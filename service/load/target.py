"""The service under load: where it is, and what a load asks of it beside trading."""

from dataclasses import dataclass, field
from typing import TypeVar

import aiohttp
import msgspec

from service.api.replies import InstrumentList, QuoteList
from service.load.errors import CannotLoad
from service.load.stages import Scrape
from service.storage.group_views import GroupSymbolView, PriceView

ANSWER_TIMEOUT_S = 10.0
_REFUSALS = {
    401: "its signing secret is another one: set the same TAPEWATCH_DATA_DIR or "
    "TAPEWATCH_JWT_SECRET as for the service",
    404: "there is no such account: name those there are with --accounts",
    503: "it cannot serve now: see /readyz on its ops port",
}

Shape = TypeVar("Shape")


@dataclass(frozen=True, slots=True)
class Target:
    """Addresses of the API and the ops port, the secret that signs tokens, and the feed's URL."""

    host: str
    port: int
    ops_host: str
    ops_port: int
    feed_url: str = field(repr=False)
    secret: str = field(repr=False)

    def session(self, connections: int) -> aiohttp.ClientSession:
        """Return a session on the API, with so many connections at most."""
        return aiohttp.ClientSession(
            f"http://{_host(self.host)}:{self.port}",
            connector=aiohttp.TCPConnector(limit=connections),
            timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S),
        )

    async def symbols(self, session: aiohttp.ClientSession, token: str) -> list[GroupSymbolView]:
        """Return what the group of a token's account trades; errors as of `_get`."""
        found = await self._get(session, "/api/v1/symbols", token, InstrumentList)
        return found.symbols

    async def prices(self, session: aiohttp.ClientSession, token: str) -> list[PriceView]:
        """Return the last prices of the group of a token's account; errors as of `_get`."""
        return (await self._get(session, "/api/v1/quotes", token, QuoteList)).quotes

    async def readiness(self, session: aiohttp.ClientSession) -> str | None:
        """Return why the service is not ready; None: it is.

        Raises:
            CannotLoad: its ops port does not answer.
        """
        status, text = await self._ops(session, "/readyz?verbose")
        return None if status == 200 else "; ".join(text.splitlines())

    async def scrape(self, session: aiohttp.ClientSession) -> Scrape:
        """Return what it measured so far; raises CannotLoad as `readiness` does."""
        _, text = await self._ops(session, "/metrics")
        return Scrape(text)

    async def _get(
        self, session: aiohttp.ClientSession, path: str, token: str, shape: type[Shape]
    ) -> Shape:
        """Ask the API.

        Raises:
            CannotLoad: it does not answer, or refuses.
        """
        try:
            async with session.get(path, headers={"Authorization": f"Bearer {token}"}) as response:
                content = await response.read()
                if response.status == 200:
                    return msgspec.json.decode(content, type=shape)
                why = _REFUSALS.get(response.status, "see its log")
        except (aiohttp.ClientError, TimeoutError):
            raise self._silent(self.host, self.port, "") from None
        except msgspec.MsgspecError:
            raise CannotLoad(
                f"what answers at {self.host}:{self.port} is no Tapewatch of this version"
            ) from None
        raise CannotLoad(f"the service answers {response.status}: {why}")

    async def _ops(self, session: aiohttp.ClientSession, path: str) -> tuple[int, str]:
        address = f"http://{_host(self.ops_host)}:{self.ops_port}{path}"
        try:
            async with session.get(address, headers={"Accept": "text/plain"}) as response:
                return response.status, await response.text()
        except (aiohttp.ClientError, TimeoutError):
            raise self._silent(self.ops_host, self.ops_port, "OPS_") from None

    def _silent(self, host: str, port: int, prefix: str) -> CannotLoad:
        return CannotLoad(
            f"nothing answers at {host}:{port}: start the service, or set TAPEWATCH_{prefix}HOST "
            f"and TAPEWATCH_{prefix}PORT to where it is"
        )


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
