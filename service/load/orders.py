"""The orders that the load's traders have placed, as the streams of their accounts tell them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from random import Random

from service.domain.decision import EventKind
from service.load.market import QuotedSymbol


class Stage(Enum):
    """How far an order has come; what has ended is forgotten."""

    SENT = auto()
    RESTING = auto()
    OPEN = auto()


_STAGES = {EventKind.PLACED: Stage.RESTING, EventKind.OPENED: Stage.OPEN}
_ENDS = frozenset({EventKind.CLOSED, EventKind.CANCELLED})


@dataclass(slots=True, eq=False)
class LoadOrder:
    """An order of the load.

    Attributes:
        body: what it was placed with.
        commanded: when the last command on it was due, ns; `commands`: how many there were.
        sequence: of the last event of it, in its account.
        rests_for_dip: whether it rests until its symbol dips.
        is_busy: whether a command on it waits for its answer.
    """

    client_order_id: str
    account_id: int
    symbol: QuotedSymbol
    is_buy: bool
    rests_for_dip: bool
    body: Mapping[str, str]
    commanded: int
    stage: Stage = Stage.SENT
    order_id: int | None = None
    commands: int = 1
    sequence: int = 0
    is_busy: bool = True


class LoadOrders:
    """All that live, by the ids their traders gave them."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._all: dict[str, LoadOrder] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[LoadOrder]:
        return iter(list(self._all.values()))

    def add(self, order: LoadOrder) -> None:
        self._all[order.client_order_id] = order

    def find(self, client_order_id: str) -> LoadOrder | None:
        return self._all.get(client_order_id)

    def forget(self, order: LoadOrder) -> None:
        self._all.pop(order.client_order_id, None)

    def move_on(self, order: LoadOrder, kind: EventKind, order_id: int, sequence: int) -> None:
        """Take what has happened to an order."""
        order.order_id, order.sequence = order_id, sequence
        if kind in _ENDS:
            self.forget(order)
        else:
            order.stage = _STAGES.get(kind, order.stage)

    def pick(self, *stages: Stage) -> LoadOrder | None:
        """Return one, by chance, that nobody is about to change; None: there is none."""
        free = [each for each in self._all.values() if each.stage in stages and not each.is_busy]
        return self._random.choice(free) if free else None

    def count(self, stage: Stage) -> int:
        return sum(each.stage is stage for each in self._all.values())
