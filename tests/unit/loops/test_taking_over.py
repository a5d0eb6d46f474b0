"""Letting go of a shard: a book that nobody trades on costs no memory."""

import gc
from decimal import Decimal
from weakref import ref

from service.domain.order import OrderType
from service.loops.taking_over import forget_book
from tests.trading_desk import GOLD, make_desk, place, quote


class Leverage(Decimal):
    """A leverage that tells when its account has gone."""


async def test_a_book_that_is_let_go_is_freed_without_the_collector() -> None:
    desk = make_desk()
    quote(desk, "EURUSD", 110_000, 110_010)
    account = desk.accounts[GOLD]
    account.leverage = Leverage(account.leverage)
    place(desk, GOLD, "EURUSD", OrderType.BUY, 100)
    place(desk, GOLD, "EURUSD", OrderType.BUY_LIMIT, 100, 109_000)
    gone = ref(account.leverage)
    del account
    gc.freeze()  # as after a book was loaded
    try:
        await forget_book(desk)
        assert gone() is None
        assert not desk.orders
    finally:
        gc.unfreeze()
