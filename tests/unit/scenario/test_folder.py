"""Reading scenario folders: what is taken, and every rule whose breach loads nothing."""

import codecs
from decimal import Decimal
from pathlib import Path

import pytest

from service.domain.instrument import (
    CommissionType,
    CommissionValueType,
    FillPolicy,
    InstrumentType,
    UserType,
)
from service.domain.order import OrderState, OrderStatus, OrderType
from service.scenario.fault import MAX_FAULTS, ScenarioError
from service.scenario.folder import DEMO_FOLDER, read_scenario
from tests.unit.scenario.folders import GOOD, with_line, write_folder


def faults_of(folder: Path) -> list[tuple[str, int, str]]:
    with pytest.raises(ScenarioError) as caught:
        read_scenario(folder)
    return [(fault.file, fault.line, fault.field) for fault in caught.value.faults]


def test_a_good_folder_becomes_domain_objects(tmp_path: Path) -> None:
    scenario = read_scenario(write_folder(tmp_path / "s"))

    euro, yen = scenario.symbols
    assert (euro.name, euro.digits, euro.contract_size) == ("EURUSD", 5, Decimal(100_000))
    assert (euro.min_volume, euro.max_volume, euro.volume_step) == (100, 1_000_000, 100)
    assert (yen.base_currency, yen.profit_currency) == ("USD", "JPY")
    assert yen.instrument_type is InstrumentType.FOREX
    gold, raw = scenario.groups
    assert (gold.margin_call_level, gold.stop_out_level) == (Decimal(100), Decimal(50))
    assert (gold.negative_balance_protection, raw.negative_balance_protection) == (True, False)
    assert raw.fill_policy is FillPolicy.REQUESTED
    terms = scenario.group_symbols[0]
    assert terms.markup_points(5) == 13
    assert terms.commission_type is CommissionType.ENTRY
    assert terms.commission_value_type is CommissionValueType.PER_LOT
    assert terms.margin_factor == 1, "empty margin_factor is 1"
    assert scenario.group_symbols[1].margin_factor == Decimal("0.5")
    live, demo = scenario.accounts
    assert (live.account_id, live.user_type, live.group) == (1, UserType.LIVE, "gold")
    assert (demo.leverage, demo.balance) == (Decimal(500), Decimal("250.5"))
    assert scenario.ticks == tmp_path / "s" / "ticks.csv"


def test_orders_come_in_file_order_with_their_triggers(tmp_path: Path) -> None:
    scenario = read_scenario(write_folder(tmp_path / "s"))
    orders = list(scenario.orders.placed_at(77))

    assert len(scenario.orders) == 4
    assert orders[0] == OrderState(
        order_id=1,
        account_id=1,
        client_order_id="a",
        symbol="EURUSD",
        order_type=OrderType.BUY_LIMIT,
        status=OrderStatus.PENDING,
        volume=1_000,
        price=114_500,
        stop_loss=114_400,
        take_profit=114_700,
        trigger=114_500 - 7,
        stop_loss_trigger=None,
        take_profit_trigger=None,
        placed_time=77,
        open_price=None,
        open_time=None,
        open_tick=None,
        margin=None,
        commission=None,
        close_price=None,
        close_time=None,
        profit=None,
        reason=None,
    )
    assert [order.order_id for order in orders] == [1, 2, 3, 4]
    assert orders[1].trigger == 109_500 + 10
    assert (orders[2].price, orders[2].stop_loss, orders[2].trigger) == (None, 120_000, 0)
    assert orders[3].client_order_id is None
    assert list(scenario.orders.placed_at(77)) == orders, "they can be read again"


def test_a_folder_may_come_without_ticks(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "s")
    (folder / "ticks.csv").unlink()
    assert read_scenario(folder).ticks is None


def test_blank_lines_quotes_byte_order_mark_and_crlf_are_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "s")
    lines = [*GOOD["accounts.csv"], "", '3,"live","gold",30,0', ""]
    (folder / "accounts.csv").write_bytes(codecs.BOM_UTF8 + "\r\n".join(lines).encode())
    assert [account.account_id for account in read_scenario(folder).accounts] == [1, 2, 3]


def test_no_commission_needs_no_commission_type(tmp_path: Path) -> None:
    change = with_line("group_symbols.csv", "raw,USDJPY,,,,,,,,")
    terms = read_scenario(write_folder(tmp_path / "s", change)).group_symbols[-1]
    assert terms.markup_points(3) == terms.commission == terms.swap_long == 0


SYMBOL = "X,5,100000,EUR,USD,forex,0.01,100,0.01"
GROUP = "g,100,50,true,market"
TERMS = "raw,USDJPY,1.3,0.01,entry,per_lot,3.5,0,0,1"
ACCOUNT = "3,live,gold,100,10.00"
ORDER = "n,1,EURUSD,BUY_LIMIT,0.10,1.14500,1.14400,1.14700"


@pytest.mark.parametrize(
    ("name", "good", "column", "value", "field"),
    [
        ("symbols.csv", SYMBOL, 0, "EURUSD", "symbol"),
        ("symbols.csv", SYMBOL, 0, "", "symbol"),
        ("symbols.csv", SYMBOL, 0, " X", "symbol"),
        ("symbols.csv", SYMBOL, 0, "a{b}", "symbol"),
        ("symbols.csv", SYMBOL, 0, "X" * 33, "symbol"),
        ("symbols.csv", SYMBOL, 1, "9", "digits"),
        ("symbols.csv", SYMBOL, 1, "-1", "digits"),
        ("symbols.csv", SYMBOL, 1, "five", "digits"),
        ("symbols.csv", SYMBOL, 2, "0", "contract_size"),
        ("symbols.csv", SYMBOL, 2, "nan", "contract_size"),
        ("symbols.csv", SYMBOL, 2, "1e12", "contract_size"),
        ("symbols.csv", SYMBOL, 3, "eur", "base_currency"),
        ("symbols.csv", SYMBOL, 4, "", "profit_currency"),
        ("symbols.csv", SYMBOL, 5, "stock", "instrument_type"),
        ("symbols.csv", SYMBOL, 6, "0", "min_lot"),
        ("symbols.csv", SYMBOL, 6, "0.00001", "min_lot"),
        ("symbols.csv", SYMBOL, 6, "101", "max_lot"),
        ("symbols.csv", SYMBOL, 8, "-0.01", "lot_step"),
        ("groups.csv", GROUP, 0, "gold", "group"),
        ("groups.csv", GROUP, 1, "", "margin_call_level"),
        ("groups.csv", GROUP, 1, "-1", "margin_call_level"),
        ("groups.csv", GROUP, 2, "101", "stop_out_level"),
        ("groups.csv", GROUP, 3, "maybe", "negative_balance_protection"),
        ("groups.csv", GROUP, 4, "best", "fill_policy"),
        ("group_symbols.csv", TERMS, 0, "platinum", "group"),
        ("group_symbols.csv", TERMS, 1, "GBPUSD", "symbol"),
        ("group_symbols.csv", TERMS, 1, "EURUSD", "symbol"),
        ("group_symbols.csv", TERMS, 2, "-1", "spread"),
        ("group_symbols.csv", TERMS, 2, "1.25", "spread"),
        ("group_symbols.csv", TERMS, 3, "", "spread_pip"),
        ("group_symbols.csv", TERMS, 4, "", "commission_type"),
        ("group_symbols.csv", TERMS, 5, "per_trade", "commission_value_type"),
        ("group_symbols.csv", TERMS, 6, "-3", "commission"),
        ("group_symbols.csv", TERMS, 7, "much", "swap_long"),
        ("group_symbols.csv", TERMS, 8, "1_0", "swap_short"),
        ("group_symbols.csv", TERMS, 9, "0", "margin_factor"),
        ("accounts.csv", ACCOUNT, 0, "1", "account_id"),
        ("accounts.csv", ACCOUNT, 0, "0", "account_id"),
        ("accounts.csv", ACCOUNT, 0, "x", "account_id"),
        ("accounts.csv", ACCOUNT, 1, "LIVE", "user_type"),
        ("accounts.csv", ACCOUNT, 2, "platinum", "group"),
        ("accounts.csv", ACCOUNT, 3, "0", "leverage"),
        ("accounts.csv", ACCOUNT, 3, "", "leverage"),
        ("accounts.csv", ACCOUNT, 4, "-0.01", "balance"),
        ("accounts.csv", ACCOUNT, 4, "0.001", "balance"),
        ("accounts.csv", ACCOUNT, 4, "inf", "balance"),
        ("orders.csv", ORDER, 0, "a", "client_order_id"),
        ("orders.csv", ORDER, 0, "x" * 129, "client_order_id"),
        ("orders.csv", ORDER, 1, "9", "account_id"),
        ("orders.csv", ORDER, 1, "", "account_id"),
        ("orders.csv", ORDER, 2, "GBPUSD", "symbol"),
        ("orders.csv", ORDER, 3, "buy_limit", "type"),
        ("orders.csv", ORDER, 3, "BUY", "price"),
        ("orders.csv", ORDER, 4, "0.015", "volume"),
        ("orders.csv", ORDER, 4, "0.00001", "volume"),
        ("orders.csv", ORDER, 4, "0", "volume"),
        ("orders.csv", ORDER, 4, "100.01", "volume"),
        ("orders.csv", ORDER, 4, "", "volume"),
        ("orders.csv", ORDER, 5, "", "price"),
        ("orders.csv", ORDER, 5, "0", "price"),
        ("orders.csv", ORDER, 5, "-1.1", "price"),
        ("orders.csv", ORDER, 5, "1.145001", "price"),
        ("orders.csv", ORDER, 5, "1,1", "price"),
        ("orders.csv", ORDER, 6, "1.14500", "stop_loss"),
        ("orders.csv", ORDER, 6, "1.14800", "stop_loss"),
        ("orders.csv", ORDER, 6, "0", "stop_loss"),
        ("orders.csv", ORDER, 7, "1.14500", "take_profit"),
        ("orders.csv", ORDER, 7, "-1", "take_profit"),
    ],
)
def test_each_rule_names_file_line_and_field(
    tmp_path: Path, name: str, good: str, column: int, value: str, field: str
) -> None:
    fields = good.split(",")
    fields[column] = f'"{value}"' if "," in value else value
    folder = write_folder(tmp_path / "s", with_line(name, ",".join(fields)))
    assert faults_of(folder) == [(name, len(GOOD[name]) + 1, field)]


@pytest.mark.parametrize("name", ["symbols.csv", "groups.csv", "accounts.csv", "orders.csv"])
def test_the_good_lines_of_those_tests_are_good(tmp_path: Path, name: str) -> None:
    good = {
        "symbols.csv": SYMBOL,
        "groups.csv": GROUP,
        "accounts.csv": ACCOUNT,
        "orders.csv": ORDER,
    }
    read_scenario(write_folder(tmp_path / "s", with_line(name, good[name])))


def test_an_order_on_a_symbol_its_group_does_not_trade_is_a_fault(tmp_path: Path) -> None:
    change = with_line("orders.csv", "n,2,USDJPY,BUY,0.01,,,")
    assert faults_of(write_folder(tmp_path / "s", change)) == [("orders.csv", 6, "symbol")]


def test_market_order_with_inverted_protection_is_a_fault(tmp_path: Path) -> None:
    change = with_line("orders.csv", "n,1,EURUSD,BUY,0.01,,1.2,1.1")
    assert faults_of(write_folder(tmp_path / "s", change)) == [("orders.csv", 6, "stop_loss")]


def test_the_same_client_order_id_in_two_accounts_is_fine(tmp_path: Path) -> None:
    change = with_line("orders.csv", "b,2,EURUSD,BUY,0.01,,,")
    assert len(read_scenario(write_folder(tmp_path / "s", change)).orders) == 5


@pytest.mark.parametrize("name", sorted(GOOD))
@pytest.mark.parametrize(
    ("header", "fields"),
    [
        (lambda h: "", [""]),
        (lambda h: h + ",note", ["note"]),
        (lambda h: h.partition(",")[2], [None]),
        (lambda h: ",".join(reversed(h.split(","))), [""]),
        (lambda h: f"{h},{h.partition(',')[0]}", [""]),
    ],
    ids=["empty", "extra", "missing", "order", "twice"],
)
def test_the_header_must_be_exact(
    tmp_path: Path, name: str, header: object, fields: list[str | None]
) -> None:
    assert callable(header)
    before = GOOD[name][0]
    folder = write_folder(tmp_path / "s", {name: [header(before), *GOOD[name][1:]]})
    found = [fault for fault in faults_of(folder) if fault[0] == name]
    assert found == [(name, 1, before.partition(",")[0] if f is None else f) for f in fields]


@pytest.mark.parametrize("name", sorted(GOOD))
def test_an_empty_file_is_a_fault(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path / "s", {name: []})
    assert (name, 1, "") in faults_of(folder)


@pytest.mark.parametrize("name", sorted(GOOD.keys() - {"ticks.csv"}))
def test_a_missing_file_is_a_fault(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path / "s")
    (folder / name).unlink()
    assert (name, 1, "") in faults_of(folder)


@pytest.mark.parametrize("name", sorted(GOOD))
@pytest.mark.parametrize("change", [lambda line: line + ",1", lambda line: line.rpartition(",")[0]])
def test_a_line_with_a_wrong_number_of_fields_is_a_fault(
    tmp_path: Path, name: str, change: object
) -> None:
    assert callable(change)
    last = len(GOOD[name])
    folder = write_folder(tmp_path / "s", with_line(name, change(GOOD[name][-1]), last))
    assert (name, last, "") in faults_of(folder)


def test_what_is_not_utf8_or_not_csv_is_a_fault(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "s")
    with (folder / "accounts.csv").open("ab") as file:
        file.write(b"3,live,gold\xff,100,10\n")
    assert faults_of(folder) == [("accounts.csv", 4, "")], "orders refer to what was not read"
    write_folder(folder, {"orders.csv": [*GOOD["orders.csv"], 'n,1,EURUSD,BUY,"0.01,,,']})
    assert faults_of(folder) == [("orders.csv", 6, "")]


def test_a_folder_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    assert faults_of(tmp_path / "nothing") == [("nothing", 1, "")]


def test_all_faults_are_told_together_and_a_reference_to_a_faulty_line_is_none(
    tmp_path: Path,
) -> None:
    changes = {
        **with_line("symbols.csv", "EURUSD,50,100000,EUR,USD,forex,0.01,100,0.01", 2),
        **with_line("accounts.csv", "1,live,gold,none,-1", 2),
        **with_line("orders.csv", "z,9,USDJPY,HOLD,0.015,x,,"),
    }
    assert faults_of(write_folder(tmp_path / "s", changes)) == [
        ("symbols.csv", 2, "digits"),
        ("accounts.csv", 2, "leverage"),
        ("accounts.csv", 2, "balance"),
        ("orders.csv", 6, "account_id"),
        ("orders.csv", 6, "type"),
        ("orders.csv", 6, "volume"),
        ("orders.csv", 6, "price"),
    ]


def test_faults_are_bounded(tmp_path: Path) -> None:
    lines = [GOOD["accounts.csv"][0], *("x,x,x,x,x" for _ in range(1_000))]
    assert len(faults_of(write_folder(tmp_path / "s", {"accounts.csv": lines}))) == MAX_FAULTS


def test_the_message_says_what_to_correct(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "s", with_line("accounts.csv", "3,live,gold,0,1"))
    with pytest.raises(ScenarioError, match=r"accounts\.csv:4: leverage: must be above 0, not 0"):
        read_scenario(folder)


def test_a_malformed_tick_loads_nothing(tmp_path: Path) -> None:
    change = with_line("ticks.csv", "2019-01-01T23:00:00.079Z,EURUSD,1.146051,1.14643")
    assert faults_of(write_folder(tmp_path / "s", change)) == [("ticks.csv", 4, "bid")]


def test_the_demo_is_without_fault_and_triggers_near_the_start_of_the_simulated_feed() -> None:
    scenario = read_scenario(DEMO_FOLDER)
    assert scenario.ticks is None
    assert {account.user_type for account in scenario.accounts} == set(UserType)
    assert [group.name for group in scenario.groups] == ["standard", "gold", "raw"]
    assert len(scenario.symbols) == 8
    assert len(scenario.orders) == 200
