"""Row of the claims: one run of the portfolio job.

The service finds its accounts in the cache, and its groups' prices. It has valued them before and
nobody has dealt since, so that the cache need not send them again; a job that was just made is
measured too, which reads all of them. Before the report a run of all accounts would take many
minutes: it values a small part of them, in a keyspace of all, and is compared by what an account
takes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tqdm import tqdm

from service.loops.portfolio_job import PortfolioJob
from service.loops.prices import PriceBoard
from tests.bench.before import portfolio_job as before
from tests.bench.brokerage import ORDERS_PER_ACCOUNT
from tests.bench.claims_book import spread_positions
from tests.bench.claims_contenders import Contenders, Name, Servers, contenders, measure, note
from tests.bench.claims_product import IDLE_POLL_S, Product
from tests.bench.report import Report, turns
from tests.bench.report_after import portfolio_job as report_after

PORTFOLIO, FIRST_PORTFOLIO = "portfolio cycle", "first portfolio cycle"
INTERVAL_S = 60.0


class Portfolios(NamedTuple):
    """How many accounts, of five positions each, how many before the report, and how often."""

    accounts: int = 10_000
    accounts_before: int = 100
    rounds: int = 3


async def measure_portfolios(servers: Servers, report: Report, sizes: Portfolios) -> None:
    """Measure runs of the job by what a cycle of all accounts takes."""
    orders = sizes.accounts * ORDERS_PER_ACCOUNT
    async with contenders(
        servers, orders, lambda desk: spread_positions(desk, orders)
    ) as all_three:
        product = all_three.product
        await product.fill_cache(list(product.trading.desk.accounts))
        works = _works(all_three, sizes)
        total = (sizes.rounds + 1) * len(Name)
        for number, name in tqdm(turns(list(Name), sizes.rounds + 1), total=total, leave=False):
            if name is Name.PRODUCT:
                await show_prices(product)
            cost = await measure(all_three.of(name), works[name])
            assert name is not Name.PRODUCT or not cost.counts.statements, "the cache is warm"
            if number:
                done = sizes.accounts_before if name is Name.BEFORE else sizes.accounts
                note(report, PORTFOLIO, name, cost, done / sizes.accounts)
            if number and name is Name.PRODUCT:
                await show_prices(product)
                first = await measure(product, job_of(product).run_once)
                note(report, FIRST_PORTFOLIO, name, first)


def _works(all_three: Contenders, sizes: Portfolios) -> dict[Name, Callable[[], Awaitable[None]]]:
    job = job_of(all_three.product)

    async def run_before() -> None:
        stores = all_three.loops[Name.BEFORE].stores
        valued = await before.run_portfolio_job(stores, sizes.accounts_before)
        assert valued == sizes.accounts_before

    async def run_after() -> None:
        stores = all_three.loops[Name.AFTER].stores
        assert await report_after.run_portfolio_job(stores, sizes.accounts) == sizes.accounts

    async def run_product() -> None:
        assert await job.run_once() == sizes.accounts

    return {Name.BEFORE: run_before, Name.AFTER: run_after, Name.PRODUCT: run_product}


def job_of(product: Product) -> PortfolioJob:
    """Return the service's job over all of its accounts."""
    return PortfolioJob(
        lambda: product.trading.desk,
        product.cache,
        product.reader,
        product.instruments,
        INTERVAL_S,
    )


async def show_prices(product: Product) -> None:
    """Store prices and terms as the board does; prices expire between rounds."""
    board = PriceBoard(lambda: product.trading.desk, product.cache, product.instruments)
    writing = asyncio.create_task(board.write())
    board.settings_changed()
    board.show()
    while not board.is_idle:  # noqa: ASYNC110 - it has no event to wait for
        await asyncio.sleep(IDLE_POLL_S)
    writing.cancel()
    await asyncio.wait((writing,))
