"""Rows of the claims: a message of prices, processed for many sockets, with orders at rest."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from random import Random
from typing import NamedTuple

from tqdm import tqdm

from service.domain.quote import Quote
from tests.bench.before.listener import Listener as ListenerBefore
from tests.bench.brokerage import INSTRUMENTS, OPENED_NS
from tests.bench.claims_book import mixed_orders
from tests.bench.claims_contenders import Contenders, Name, Servers, contenders, measure, note
from tests.bench.claims_servers import LoopsServer, ProductServer
from tests.bench.report import Report, turns
from tests.bench.report_after.listener import Listener as ListenerAfter

QUIET_POINTS = 5
_LISTENERS = {Name.BEFORE: ListenerBefore, Name.AFTER: ListenerAfter}


class Sockets(NamedTuple):
    """How many sockets and resting orders, and how often; a message has so many symbols."""

    sockets: int = 100
    orders: tuple[int, ...] = (1_000, 10_000)
    symbols: int = 3
    rounds: int = 3


class Messages(NamedTuple):
    """Messages to so many sockets, of so many symbols, how often, and who has to process them.

    `first` is the number of the first: above those of all messages before with the same book.
    """

    sockets: int
    symbols: int
    rounds: int
    names: tuple[Name, ...] = tuple(Name)
    first: int = 0


def row_of(sockets: int, orders: int) -> str:
    return f"message, {sockets} socket{'s' * (sockets > 1)}, {orders:,} orders"


async def measure_sockets(servers: Servers, report: Report, sizes: Sockets) -> None:
    """Measure a message at each number of orders, by what one message takes; nothing triggers."""
    messages = Messages(sizes.sockets, sizes.symbols, sizes.rounds)
    for orders in sizes.orders:
        async with contenders(servers, orders, partial(mixed_orders, count=orders)) as all_three:
            row = row_of(sizes.sockets, orders)
            await measure_messages(servers, all_three, report, row, messages)


async def measure_messages(
    servers: Servers, all_three: Contenders, report: Report, row: str, messages: Messages
) -> None:
    """Measure a row: messages to so many sockets."""
    names, rounds = messages.names, messages.rounds + 1
    async with _serving(servers, all_three, messages) as senders:
        for number, name in tqdm(turns(names, rounds), row, rounds * len(names), leave=False):
            sender = senders[name]
            symbols = messages.symbols if number else 1  # to warm up
            work = partial(sender.send, _quotes(messages.first + number, symbols))
            cost = await measure(all_three.of(name), work, sender.settled)
            if number:
                note(report, row, name, cost)


@asynccontextmanager
async def _serving(
    servers: Servers, all_three: Contenders, messages: Messages
) -> AsyncIterator[dict[Name, LoopsServer | ProductServer]]:
    """Serve the sockets of whom is measured."""
    sockets, loops, desk = messages.sockets, all_three.loops, all_three.desk
    async with AsyncExitStack() as stack:
        senders: dict[Name, LoopsServer | ProductServer] = {}
        for name in messages.names:
            if name is Name.PRODUCT:
                url = servers.way_to(servers.redis_urls[name])
                product = ProductServer.on(all_three.product, url, sockets)
                senders[name] = await stack.enter_async_context(product)
            else:
                server = LoopsServer.on(loops[name], _LISTENERS[name], desk, sockets)
                senders[name] = await stack.enter_async_context(server)
        yield senders


def _quotes(number: int, symbols: int) -> list[Quote]:
    """Return quotes of a few symbols, each a few points from the first, and not the same."""
    random = Random(number)
    quotes = []
    for symbol, mid, spread, *_ in random.sample(INSTRUMENTS, symbols):
        bid = mid + random.randint(1, QUIET_POINTS) - spread // 2
        quotes.append(Quote(symbol.name, bid, bid + spread, OPENED_NS + 1 + number))
    return quotes
