"""Clients that listen: one socket for some accounts, at one gateway and then at another.

A socket that ends, or cannot be had, is followed by one at the next gateway. What every account was
told is in its `View`.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from random import Random

import aiohttp
import msgspec

from tests.adversity.deployment import Deployment
from tests.adversity.views import View, stored_payload

STREAM = "/api/v1/stream"
CONNECT_TIMEOUT_S = 6.0
# A gateway that stands still tells nothing at all; one that lives tells quotes all the time.
SILENCE_S = 8.0
PAUSE_S = 0.2
MAX_MESSAGE_BYTES = 1 << 24
_EVENTS = frozenset({"order", "account"})


class Listener:
    """One client."""

    def __init__(self, deployment: Deployment, account_ids: Sequence[int], random: Random) -> None:
        self._deployment = deployment
        self._account_ids = account_ids
        self._random = random
        self.views = {each: View(each) for each in account_ids}
        self.connected = 0
        self.refusals: Counter[str] = Counter()

    async def run(self) -> None:
        """Listen until cancelled."""
        gateways = self._deployment.gateways
        place = self._random.randrange(len(gateways))
        async with aiohttp.ClientSession() as session:
            while True:
                place = (place + 1) % len(gateways)
                try:
                    await self._listen(session, gateways[place].address)
                except aiohttp.WSServerHandshakeError as error:
                    self.refusals[str(error.status)] += 1
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    self.refusals[type(error).__name__] += 1
                finally:
                    for view in self.views.values():
                        view.lost()
                await asyncio.sleep(PAUSE_S * (0.5 + self._random.random()))

    async def _listen(self, session: aiohttp.ClientSession, address: str) -> None:
        token = self._deployment.token(*self._account_ids)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            socket = await session.ws_connect(
                address.replace("http", "ws", 1) + STREAM,
                headers={"Authorization": f"Bearer {token}"},
                max_msg_size=MAX_MESSAGE_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            )
        self.connected += 1
        async with socket:
            while True:
                message = await socket.receive(timeout=SILENCE_S)
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                self._take(message.data.encode())

    def _take(self, text: bytes) -> None:
        message = msgspec.json.decode(text)
        kind = message["type"]
        if kind == "snapshot":
            self.views[message["account_id"]].show(message)
        elif kind in _EVENTS:
            self.views[message["account_id"]].hear(message, stored_payload(text))
