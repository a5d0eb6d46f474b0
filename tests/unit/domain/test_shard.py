"""Accounts have one shard each; shards decide as one desk would, under ids of their own."""

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.decision import Decision
from service.domain.instructions import PlaceOrder
from service.domain.order import OrderType
from service.domain.quote import REPLAY_GUARD
from service.domain.shard import ALL_ACCOUNTS, MAX_SHARDS, AccountShard, shard_of
from tests.unit.domain.floor import LOT, Floor

SHARDS = st.integers(1, MAX_SHARDS)
ACCOUNTS = range(1, 7)


@given(st.integers(1, 2**63 - 1), SHARDS)
def test_an_account_is_in_one_shard(account_id: int, shards: int) -> None:
    shard = shard_of(account_id, shards)
    assert 0 <= shard.number < shards
    assert shard.owns(account_id)
    others = {(shard.number + 1) % shards, (shard.number - 1) % shards} - {shard.number}
    assert not any(AccountShard(number, shards).owns(account_id) for number in others)


@given(st.integers(0, 2**60), st.data())
def test_the_next_id_is_the_first_above_that_is_the_shards(above: int, data: st.DataObject) -> None:
    of = data.draw(SHARDS)
    number = data.draw(st.integers(0, of - 1))
    first = AccountShard(number, of).first_id(above)
    assert first % of == number
    assert above < first <= above + of


def test_with_one_shard_ids_are_one_two_three() -> None:
    floor = Floor()
    floor.tick("EURUSD", 110_000, 110_010)
    placed = [floor.commands.place(resting(1), floor.now) for _ in range(3)]
    assert [each.decision_id for each in placed] == [1, 2, 3]
    assert [each.order.order_id for each in placed if each.order is not None] == [1, 2, 3]


def resting(account_id: int, price: int = 109_000) -> PlaceOrder:
    return PlaceOrder(account_id, "EURUSD", OrderType.BUY_LIMIT, LOT, price, price - 500)


class Step(NamedTuple):
    """An account places an order below the market, then the market moves."""

    account_id: int
    below: int
    bid: int


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(ACCOUNTS),
        st.integers(1, 500),
        st.integers(109_000, 111_000),
    ),
    max_size=25,
)


def play(shard: AccountShard, steps: list[Step]) -> list[Decision]:
    """Return what a shard decides: it sees every tick, and the commands of its accounts."""
    floor = Floor(REPLAY_GUARD, shard)
    for account_id in ACCOUNTS:
        if shard.owns(account_id) and account_id not in floor.desk.accounts:
            floor.add_account(account_id, balance="5000")
    decided = floor.tick("EURUSD", 110_000, 110_010)
    for account_id, below, bid in steps:
        ask = floor.desk.markets["EURUSD"].ask
        if shard.owns(account_id):
            command = resting(account_id, ask - below)
            decided.append(floor.commands.place(command, floor.now))
        decided += floor.tick("EURUSD", bid, bid + 10)
    return decided


def told(decision: Decision) -> object:
    """Return what a decision means, ids apart."""
    order = decision.order
    return (
        decision.account,
        decision.kind,
        decision.time,
        decision.expected,
        decision.deal,
        decision.postings,
        None if order is None else order._replace(order_id=0, open_tick=None),
    )


@settings(max_examples=60)
@given(STEPS, st.integers(2, 4))
def test_shards_decide_together_what_one_desk_decides(steps: list[Step], shards: int) -> None:
    whole = play(ALL_ACCOUNTS, steps)
    parts = [play(AccountShard(number, shards), steps) for number in range(shards)]
    for account_id in ACCOUNTS:
        mine = [told(each) for each in whole if each.account.account_id == account_id]
        part = parts[account_id % shards]
        assert [told(each) for each in part if each.account.account_id == account_id] == mine
    ids = [each.decision_id for part in parts for each in part]
    assert len(ids) == len(set(ids)) == len(whole)
    orders = {
        each.order.order_id: number
        for number, part in enumerate(parts)
        for each in part
        if each.order
    }
    assert all(order_id % shards == number for order_id, number in orders.items())
    for part in parts:
        assert [each.decision_id for each in part] == sorted(each.decision_id for each in part)
