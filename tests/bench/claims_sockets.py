"""Rows of the claims: a message of prices, processed for many sockets, with orders at rest."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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


class Sockets(NamedTuple):
    """How many sockets and resting orders, and how often; a message has so many symbols."""

    sockets: int = 100
    orders: tuple[int, ...] = (1_000, 10_000)
    symbols: int = 3
    rounds: int = 3


def row_of(sockets: int, orders: int) -> str:
    return f"message, {sockets} socket{'s' * (sockets > 1)}, {orders:,} orders"


async def measure_sockets(servers: Servers, report: Report, sizes: Sockets) -> None:
    """Measure a message at each number of orders, by what one message takes; nothing triggers."""
    for orders in sizes.orders:
        async with (
            contenders(servers, orders, partial(mixed_orders, count=orders)) as all_three,
            _serving(servers, all_three, sizes.sockets) as senders,
        ):
            total = (sizes.rounds + 1) * len(Name)
            for number, name in tqdm(turns(list(Name), sizes.rounds + 1), total=total, leave=False):
                sender = senders[name]
                symbols = sizes.symbols if number else 1  # to warm up
                work = partial(sender.send, _quotes(number, symbols))
                cost = await measure(all_three.of(name), work, sender.settled)
                if number:
                    note(report, row_of(sizes.sockets, orders), name, cost)


@asynccontextmanager
async def _serving(
    servers: Servers, all_three: Contenders, sockets: int
) -> AsyncIterator[dict[Name, LoopsServer | ProductServer]]:
    """Serve all contenders' sockets."""
    loops, desk = all_three.loops, all_three.desk
    redis_url = servers.redis_urls[Name.PRODUCT]
    async with (
        LoopsServer.on(loops[Name.BEFORE], ListenerBefore, desk, sockets) as before,
        LoopsServer.on(loops[Name.AFTER], ListenerAfter, desk, sockets) as after,
        ProductServer.on(all_three.product, redis_url, sockets) as product,
    ):
        yield {Name.BEFORE: before, Name.AFTER: after, Name.PRODUCT: product}


def _quotes(number: int, symbols: int) -> list[Quote]:
    """Return quotes of a few symbols, each a few points from the first, and not the same."""
    random = Random(number)
    quotes = []
    for symbol, mid, spread, *_ in random.sample(INSTRUMENTS, symbols):
        bid = mid + random.randint(1, QUIET_POINTS) - spread // 2
        quotes.append(Quote(symbol.name, bid, bid + spread, OPENED_NS + 1 + number))
    return quotes
