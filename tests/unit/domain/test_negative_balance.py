"""A balance below zero is reset once the account is flat, where its group protects it."""

from decimal import Decimal

import pytest

from service.domain.instrument import CommissionType
from service.domain.order import OrderType
from tests.unit.domain.floor import LOT, Floor, deal_of, posted

BUY = OrderType.BUY


def with_account(*, protects: bool) -> Floor:
    """Return a floor where account 3 has 1200 in group `market`."""
    floor = Floor()
    floor.set_group(negative_balance_protection=protects)
    floor.add_account(3, balance="1200")
    floor.tick("EURUSD", 110_000, 110_000)
    return floor


@pytest.mark.parametrize(
    ("protects", "price", "entries", "balance"),
    [
        (True, 109_000, [("PROFIT", "-1000.00")], "200.00"),
        (True, 108_800, [("PROFIT", "-1200.00")], "0.00"),
        (True, 108_799, [("PROFIT", "-1201.00"), ("NEGATIVE_BALANCE", "1.00")], "0.00"),
        (True, 108_000, [("PROFIT", "-2000.00"), ("NEGATIVE_BALANCE", "800.00")], "0.00"),
        (False, 108_000, [("PROFIT", "-2000.00")], "-800.00"),
    ],
)
def test_a_stop_loss_in_a_gap(
    protects: bool, price: int, entries: list[tuple[str, str]], balance: str
) -> None:
    floor = with_account(protects=protects)
    floor.place(BUY, None, 109_500, account=3)
    (decision,) = floor.tick("EURUSD", price, price)
    assert posted(decision) == entries
    assert decision.account.balance == Decimal(balance)
    assert deal_of(decision).balance_after == 1200 + Decimal(entries[0][1])


def test_commission_is_reset_with_the_loss() -> None:
    floor = with_account(protects=True)
    floor.set_terms("market", "EURUSD", commission=Decimal(7), commission_type=CommissionType.EXIT)
    floor.place(BUY, None, 109_500, account=3)
    (decision,) = floor.tick("EURUSD", 108_000, 108_000)
    assert posted(decision) == [
        ("PROFIT", "-2000.00"),
        ("COMMISSION", "-7.00"),
        ("NEGATIVE_BALANCE", "807.00"),
    ]


def test_the_stop_out_that_leaves_the_account_flat_resets_it() -> None:
    floor = with_account(protects=True)
    floor.place(BUY, account=3)
    called, stopped = floor.tick("EURUSD", 105_000, 105_000)
    assert posted(called) == []
    assert posted(stopped) == [("PROFIT", "-5000.00"), ("NEGATIVE_BALANCE", "3800.00")]
    assert floor.desk.accounts[3].balance == 0


def test_an_account_with_another_position_keeps_its_debt_until_it_is_flat() -> None:
    floor = with_account(protects=True)
    floor.tick("GBPUSD", 125_000, 125_000)
    floor.set_group(stop_out_level=Decimal(0), negative_balance_protection=True)
    floor.place(BUY, None, 109_500, account=3, volume=LOT // 2)
    floor.place(OrderType.SELL, account=3, symbol="GBPUSD", volume=LOT // 2)
    floor.tick("GBPUSD", 122_000, 122_000)
    first, *_ = floor.tick("EURUSD", 107_000, 107_000)
    assert posted(first) == [("PROFIT", "-1500.00")]
    assert floor.desk.accounts[3].balance == -300
    order = next(iter(floor.desk.orders))
    assert floor.close(order, 3).balance_after == 1200
