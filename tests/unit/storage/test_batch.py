"""A batch writes each order and account once, exactly, with every deal, posting and event."""

import re
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.order import OrderStatus
from service.storage import batch
from service.storage.batch import COMMIT_STATEMENT, ORDER_COLUMNS, commit_arguments, encode
from tests.unit.storage.decisions import Clerk

# The arrays of the statement, in their order.
TABLES = {
    "new_orders": batch._ORDER_COLUMNS,
    "changed_orders": batch._CHANGE_COLUMNS,
    "accounts": batch._ACCOUNT_COLUMNS,
    "corrected": batch._CORRECTED_COLUMNS,
    "deals": batch._DEAL_COLUMNS,
    "ledger": batch._LEDGER_COLUMNS,
    "audit": batch._AUDIT_COLUMNS,
    "outbox": batch._OUTBOX_COLUMNS,
    "commands": batch._COMMAND_COLUMNS,
}
LONG = Decimal("1.234567890123456789012345678901234")  # 34 digits


def rows_of(clerk: Clerk) -> dict[str, list[dict[str, Any]]]:
    """Encode what a clerk decided; return it as rows by table."""
    payloads = [f"event {decision.decision_id}" for decision in clerk.decisions]
    arrays = encode(clerk.decisions, payloads)
    tables = {}
    for name, columns in TABLES.items():
        mine = [
            read(array, kind)
            for array, (_, kind) in zip(arrays[: len(columns)], columns, strict=True)
        ]
        arrays = arrays[len(columns) :]
        assert len({len(array) for array in mine}) == 1, "columns of a table are equally long"
        names = [column for column, _ in columns]
        tables[name] = [dict(zip(names, row, strict=True)) for row in zip(*mine, strict=True)]
    assert arrays == []
    return tables


def read(array: str | Sequence[Any], kind: str) -> Sequence[Any]:
    """Return the values of a column, numerics as text."""
    if not isinstance(array, str):
        return array
    assert array[0] + array[-1] == "{}"
    texts = array[1:-1].split(",") if array != "{}" else []
    values: list[Any] = [None if text.strip() == "NULL" else text for text in texts]
    if kind == "bigint":
        return [None if value is None else int(value) for value in values]
    if kind == "boolean":
        return [value.strip() == "True" for value in values]
    return values


def test_an_order_placed_opened_and_closed_in_a_batch_is_inserted_once_as_it_ended() -> None:
    clerk = Clerk()
    clerk.place(7)
    clerk.open(7)
    closed = clerk.close(7).order
    tables = rows_of(clerk)
    [order] = tables["new_orders"]
    assert (order["order_id"], order["status"]) == (7, OrderStatus.CLOSED)
    assert closed is not None
    assert [*order] == [*ORDER_COLUMNS]
    numerics = ("margin", "commission", "profit")
    assert [value for name, value in order.items() if name not in numerics] == [
        value for name, value in zip(order, closed, strict=True) if name not in numerics
    ]
    assert tables["changed_orders"] == []
    assert [deal["event"] for deal in tables["deals"]] == ["OPEN", "CLOSE"]
    assert [event["sequence"] for event in tables["outbox"]] == [1, 2, 3]


def test_an_order_stored_before_is_changed_once_from_the_status_first_expected() -> None:
    clerk = Clerk()
    clerk.open(7)
    clerk.close(7)
    tables = rows_of(clerk)
    assert tables["new_orders"] == []
    [change] = tables["changed_orders"]
    assert (change["expected"], change["status"]) == (OrderStatus.PENDING, OrderStatus.CLOSED)
    assert (change["profit"], change["reason"]) == ("1.00", "TAKE_PROFIT")
    assert "placed_time" not in change, "when it was placed never changes"


def test_an_account_goes_from_before_the_first_decision_to_after_the_last() -> None:
    clerk = Clerk()
    clerk.fund(Decimal("5.00"))
    clerk.open(7, commission=Decimal("0.35"))
    clerk.fund(Decimal("1.00"), account_id=2)
    clerk.close(7, profit=Decimal("2.00"), commission=Decimal("0.35"))
    clerk.open(8, margin=Decimal("22.5"))
    first, second = rows_of(clerk)["accounts"]
    assert first == {
        "account_id": 1,
        "sequence_before": 0,
        "balance_before": "1000.00",
        "sequence": 4,
        "balance": "1006.30",
        "margin": "22.5",
        "in_margin_call": False,
    }
    assert second == {
        "account_id": 2,
        "sequence_before": 0,
        "balance_before": "1000.00",
        "sequence": 1,
        "balance": "1001.00",
        "margin": "0",
        "in_margin_call": False,
    }


def test_a_second_batch_starts_where_the_first_ended() -> None:
    clerk = Clerk()
    clerk.fund(Decimal("5.00"))
    [first] = rows_of(clerk)["accounts"]
    clerk.decisions.clear()
    clerk.fund(Decimal("7.00"))
    [second] = rows_of(clerk)["accounts"]
    assert (second["sequence_before"], second["balance_before"]) == (1, first["balance"])


@pytest.mark.parametrize(
    "amount", [Decimal("1E+3"), LONG, Decimal("-0.01"), Decimal("1E-20"), Decimal("0E-34")]
)
def test_numerics_are_text_that_reads_back_exactly(amount: Decimal) -> None:
    clerk = Clerk()
    clerk.open(7, margin=amount)
    clerk.close(8, profit=amount)
    tables = rows_of(clerk)
    opened, closed = tables["changed_orders"]
    [deal] = tables["deals"][1:]
    for text in (opened["margin"], closed["profit"], deal["profit"]):
        assert type(text) is str
        assert Decimal(text).as_tuple() == amount.as_tuple()
    assert closed["margin"] == "11.00"
    assert opened["profit"] is None


def test_what_is_empty_stays_empty_and_numbers_stay_numbers() -> None:
    clerk = Clerk()
    clerk.place(7)
    [order] = rows_of(clerk)["new_orders"]
    for name in ("client_order_id", "stop_loss", "open_price", "margin", "profit", "reason"):
        assert order[name] is None
    assert (order["price"], order["volume"]) == (110_000, 100)


def test_answers_are_stored_for_decisions_that_carry_a_key_alone() -> None:
    clerk = Clerk()
    clerk.place(7, key="k")
    clerk.place(8)
    clerk.fund(Decimal(1), account_id=2, key="k")
    tables = rows_of(clerk)
    assert tables["commands"] == [
        {"account_id": 1, "key": "k", "answer": "event 1", "event_id": 1},
        {"account_id": 2, "key": "k", "answer": "event 3", "event_id": 3},
    ]
    assert [event["payload"] for event in tables["outbox"]] == ["event 1", "event 2", "event 3"]
    assert [event["event_id"] for event in tables["outbox"]] == [1, 2, 3]


def test_a_deposit_has_no_order() -> None:
    clerk = Clerk()
    clerk.fund(Decimal("5.00"))
    tables = rows_of(clerk)
    [entry] = tables["ledger"]
    assert (entry["order_id"], entry["kind"], entry["amount"]) == (None, "DEPOSIT", "5.00")
    assert tables["new_orders"] == tables["changed_orders"] == tables["deals"] == []


amounts = st.decimals(min_value=-1000, max_value=1000, places=2)


@given(
    st.lists(
        st.tuples(st.sampled_from("pocf"), st.integers(1, 3), amounts), min_size=1, max_size=30
    )
)
def test_postings_lead_from_each_balance_to_the_next(
    steps: list[tuple[str, int, Decimal]],
) -> None:
    clerk = Clerk()
    for number, (step, account, amount) in enumerate(steps, 1):
        match step:
            case "p":
                clerk.place(number, account)
            case "o":
                clerk.open(number, account, commission=abs(amount))
            case "c":
                clerk.close(number, account, profit=amount, commission=Decimal("0.07"))
            case _:
                clerk.fund(amount, account)
    tables = rows_of(clerk)
    for row in tables["accounts"]:
        number = row["account_id"]
        balance = Decimal(row["balance_before"])
        assert balance == Decimal("1000.00")
        for entry in tables["ledger"]:
            if entry["account_id"] == number:
                balance += Decimal(entry["amount"])
                assert Decimal(entry["balance_after"]) == balance
        assert Decimal(row["balance"]) == balance
        decided = [d for d in clerk.decisions if d.account.account_id == number]
        assert (row["sequence_before"], row["sequence"]) == (0, len(decided))
        assert [e["sequence"] for e in tables["outbox"] if e["account_id"] == number] == list(
            range(1, len(decided) + 1)
        )
    written = [o["order_id"] for name in ("new_orders", "changed_orders") for o in tables[name]]
    assert len(written) == len(set(written)), "an order is written once"


def test_the_statement_takes_what_its_arguments_are() -> None:
    clerk = Clerk()
    last = clerk.place(7)
    arguments = commit_arguments(
        encode([last], ["{}"]),
        last,
        epoch=3,
        previous_batch=uuid.UUID(int=1),
        batch=uuid.UUID(int=2),
    )
    one, two = uuid.UUID(int=1), uuid.UUID(int=2)
    assert arguments[:6] == [3, one, two, last.tick, last.decision_id, 0]
    taken = {int(number) for number in re.findall(r"\$(\d+)", COMMIT_STATEMENT)}
    assert taken == set(range(1, len(arguments) + 1))
    empty = commit_arguments(
        encode([], []), last, epoch=3, previous_batch=uuid.UUID(int=1), batch=uuid.UUID(int=2)
    )
    assert len(empty) == len(arguments)


def test_a_decision_without_its_event_is_an_error() -> None:
    clerk = Clerk()
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        encode([clerk.place(7)], [])
