"""Putting a load on a running service, from its first quote to the last order ended.

The load is the service's upstream, so it comes first: it serves quotes, waits until the service has
taken them and is ready, opens the sockets, lets everything run for `WARM_UP_S` and measures then.
In the end, also when it is interrupted, it ends the orders it has placed. It trades: put it on a
service whose book may be traded with.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle, islice
from random import Random
from typing import NamedTuple

import aiohttp
from loguru import logger

from service.api.auth import Role, issue_token
from service.load.errors import CannotLoad
from service.load.figures import Figures, Look, figures_of
from service.load.listeners import Listeners
from service.load.market import GroupDips, Market
from service.load.schedule import Clock
from service.load.tally import Tallies
from service.load.target import Target
from service.load.traders import MAX_WAITING, Traders
from service.load.upstream import Upstream

FEED_TIMEOUT_S = 60.0
READY_TIMEOUT_S = 60.0
INTERVAL_S = 5.0
SEED = 1
WARM_UP_S = 3.0
RETIRE_TIMEOUT_S = 20.0
POLL_S = 0.2
TOKEN_MARGIN_S = 600.0


class Plan(NamedTuple):
    """What to do to a service, for `seconds`.

    Attributes:
        ticks_per_s, commands_per_s: how many are due; without commands nobody trades.
        sockets: how many listen, spread over the accounts; at least one where somebody trades.
        accounts: whose streams and orders these are.
        burst: how many orders a tick fires at most.
    """

    seconds: float
    ticks_per_s: float
    commands_per_s: float
    sockets: int
    accounts: Sequence[int]
    burst: int


async def load(plan: Plan, target: Target, tell: Callable[[Figures], None]) -> Figures:
    """Load a service; tell the figures of each interval, and return those of the whole.

    Raises:
        CannotLoad: it does not answer, refuses, or does not take its quotes from here.
    """
    clock, tallies, random = Clock(), Tallies(), Random(SEED)
    upstream = Upstream(clock, tallies)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(upstream.served(target.feed_url))
        session = await stack.enter_async_context(target.session(MAX_WAITING))
        await target.readiness(session)  # whatever it says: it answers
        await _connected(upstream)
        tokens = Tokens(target.secret, plan.seconds + TOKEN_MARGIN_S)
        market = await _market(target, session, tokens(plan.accounts[0]), random)
        sending = await stack.enter_async_context(_running(upstream.send(market, plan.ticks_per_s)))
        await _ready(target, session)
        traders = Traders(
            session,
            tokens,
            market,
            clock,
            tallies,
            random,
            burst=plan.burst,
            run=f"load-{secrets.token_hex(4)}",
        )
        listeners = Listeners(clock, tallies, traders.heard)
        stack.callback(listeners.close)
        accounts = list(islice(cycle(plan.accounts), plan.sockets))
        await listeners.listen(target.host, target.port, accounts, tokens)
        at_work = [sending]
        if plan.commands_per_s:
            await _seat(traders, target, session, listeners, tokens)
            stack.push_async_callback(_retire, traders)
            trading = _running(traders.trade(plan.commands_per_s))
            at_work.append(await stack.enter_async_context(trading))
        await asyncio.sleep(WARM_UP_S)

        begun = before = await _look(target, session)
        tallies.begin()
        ends = time.monotonic() + plan.seconds
        while (left_s := ends - time.monotonic()) > 0:
            await asyncio.wait(
                at_work, timeout=min(left_s, INTERVAL_S), return_when=asyncio.FIRST_COMPLETED
            )
            for task in at_work:
                if task.done():
                    task.result()
            tally = tallies.turn()
            after = await _look(target, session)
            tell(figures_of("interval", tally, before, after, listeners.open, listeners.lost))
            before = after
        return figures_of("total", tallies.total, begun, before, listeners.open, listeners.lost)


class Tokens:
    """Tokens of accounts, each issued once."""

    def __init__(self, secret: str, life_s: float) -> None:
        self._secret = secret
        self._life_s = life_s
        self._issued: dict[int, str] = {}

    def __call__(self, account_id: int) -> str:
        token = self._issued.get(account_id)
        if token is None:
            token = issue_token(self._secret, account_id, Role.TRADER, self._life_s)
            self._issued[account_id] = token
        return token


async def _market(
    target: Target, session: aiohttp.ClientSession, token: str, random: Random
) -> Market:
    market = Market(
        await target.symbols(session, token), await target.prices(session, token), random
    )
    if not market.symbols:
        raise CannotLoad("no symbol has a price yet: let the service run on another feed first")
    if market.unknown:
        logger.warning("not quoted, since no price is known: {}", ", ".join(market.unknown))
    return market


async def _connected(upstream: Upstream) -> None:
    try:
        async with asyncio.timeout(FEED_TIMEOUT_S):
            await upstream.subscribed()
    except TimeoutError:
        raise CannotLoad(
            f"the service did not ask for quotes within {FEED_TIMEOUT_S:g} s: start it with "
            "TAPEWATCH_FEED=websocket and the same TAPEWATCH_FEED_URL as here"
        ) from None


async def _ready(target: Target, session: aiohttp.ClientSession) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while (readiness := await target.readiness(session)) is not None:
        if time.monotonic() >= deadline:
            raise CannotLoad(f"the service is not ready: {readiness}")
        await asyncio.sleep(POLL_S)


async def _seat(
    traders: Traders,
    target: Target,
    session: aiohttp.ClientSession,
    listeners: Listeners,
    tokens: Tokens,
) -> None:
    """Let the accounts that listen trade, on the terms of their groups."""
    dips: dict[str, GroupDips] = {}
    seats = []
    for account_id, group in listeners.groups.items():
        if group not in dips:
            dips[group] = GroupDips(group, await target.symbols(session, tokens(account_id)))
        seats.append((account_id, dips[group]))
    if not traders.seat(seats):
        raise CannotLoad(
            "the accounts have no quoted symbol in common: name those of groups that trade the same"
        )


async def _retire(traders: Traders) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(RETIRE_TIMEOUT_S):
            await traders.retire()
    if len(traders.orders):
        logger.warning("{} orders of the load may still live", len(traders.orders))


@asynccontextmanager
async def _running(work: Coroutine[None, None, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Do something until left."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def _look(target: Target, session: aiohttp.ClientSession) -> Look:
    scrape = await target.scrape(session)
    return Look(scrape, time.process_time(), time.time())
