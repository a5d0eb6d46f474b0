"""Rows of the claims: a burst of pending orders, and stops and targets among many positions."""

from typing import NamedTuple

from tqdm import tqdm

from service.domain.order import OrderStatus
from service.scenario.instruments import Instrument
from tests.bench.before.market import Triggered
from tests.bench.before.positions import STOP_LOSS, TAKE_PROFIT
from tests.bench.claims_book import (
    IN_DOLLARS,
    closing_burst,
    pending_burst,
    quote_of,
    resting_positions,
)
from tests.bench.claims_contenders import (
    Contenders,
    Cost,
    Name,
    Servers,
    contenders,
    measure,
    note,
)
from tests.bench.report import Report, turns

PENDING, CLOSING = "pending burst", "SL/TP"


class Bursts(NamedTuple):
    """How many orders trigger at once, among how many positions, and how often."""

    size: int = 1_000
    positions: int = 10_000
    rounds: int = 3
    warm_up: int = 20


async def measure_bursts(servers: Servers, report: Report, bursts: Bursts) -> None:
    """Measure both rows; a symbol's pending orders are all of one round, its positions many."""
    resting = bursts.positions - bursts.size
    ids_a_round = 2 * (bursts.size + bursts.warm_up)
    last_id = resting + (bursts.rounds + 1) * ids_a_round
    crowded = IN_DOLLARS[-1]
    async with contenders(
        servers, last_id, lambda desk: resting_positions(desk, crowded, 1, resting)
    ) as all_three:
        total = (bursts.rounds + 1) * len(Name)
        for number, name in tqdm(turns(list(Name), bursts.rounds + 1), total=total, leave=False):
            size = bursts.size if number else bursts.warm_up
            first_id = resting + 1 + number * ids_a_round
            pending = await _burst(all_three, name, PENDING, IN_DOLLARS[number], first_id, size, 1)
            first_id += size
            closing = await _burst(all_three, name, CLOSING, crowded, first_id, size, number + 1)
            if number:
                note(report, PENDING, name, pending)
                note(report, CLOSING, name, closing)


async def _burst(
    all_three: Contenders,
    name: Name,
    row: str,
    instrument: Instrument,
    first_id: int,
    size: int,
    step: int,
) -> Cost:
    """Store a burst, trigger it, and see that exactly its orders did what they were meant to."""
    make = pending_burst if row is PENDING else closing_burst
    orders = list(make(all_three.desk, instrument, first_id, size, step))
    await all_three.add(name, orders)
    contender = all_three.of(name)
    triggered: set[Triggered] = set()

    async def work() -> None:
        triggered.update(await contender.take([quote_of(instrument, step)]))

    cost = await measure(contender, work)
    assert triggered == {
        Triggered(
            order.order_id,
            order.order_type.value
            if order.status is OrderStatus.PENDING
            else STOP_LOSS
            if order.stop_loss is not None
            else TAKE_PROFIT,
        )
        for order in orders
    }
    return cost
