"""A small scenario folder without fault, to be spoilt by the tests."""

from pathlib import Path

GOOD: dict[str, list[str]] = {
    "symbols.csv": [
        "symbol,digits,contract_size,base_currency,profit_currency,instrument_type,"
        "min_lot,max_lot,lot_step",
        "EURUSD,5,100000,EUR,USD,forex,0.01,100,0.01",
        "USDJPY,3,100000,USD,JPY,forex,0.01,100,0.01",
    ],
    "groups.csv": [
        "group,margin_call_level,stop_out_level,negative_balance_protection,fill_policy",
        "gold,100,50,true,market",
        "raw,100,30,false,requested",
    ],
    "group_symbols.csv": [
        "group,symbol,spread,spread_pip,commission_type,commission_value_type,commission,"
        "swap_long,swap_short,margin_factor",
        "gold,EURUSD,1.3,0.0001,entry,per_lot,3.50,-7.1,1.2,",
        "gold,USDJPY,2,0.01,entry_and_exit,percent,0.003,-1,0,0.5",
        "raw,EURUSD,0,0.0001,exit,per_lot,7,0,0,1",
    ],
    "accounts.csv": [
        "account_id,user_type,group,leverage,balance",
        "1,live,gold,100,10000.00",
        "2,demo,raw,500,250.5",
    ],
    "orders.csv": [
        "client_order_id,account_id,symbol,type,volume,price,stop_loss,take_profit",
        "a,1,EURUSD,BUY_LIMIT,0.10,1.14500,1.14400,1.14700",
        "b,1,USDJPY,SELL_STOP,1,109.5,,",
        "a,2,EURUSD,SELL,0.01,,1.20000,1.10000",
        ",2,EURUSD,BUY_STOP,0.02,1.15,,",
    ],
    "ticks.csv": [
        "time,symbol,bid,ask",
        "2019-01-01T23:00:00.071Z,USDJPY,109.676,109.687",
        "2019-01-01T23:00:00.078Z,EURUSD,1.14605,1.14643",
    ],
}


def write_folder(folder: Path, changes: dict[str, list[str]] | None = None) -> Path:
    """Write the good scenario with some files replaced."""
    folder.mkdir(exist_ok=True)
    for name, lines in {**GOOD, **(changes or {})}.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def with_line(name: str, line: str, at: int | None = None) -> dict[str, list[str]]:
    """Return the change that replaces line `at` (counted from 1) of a file, or appends one."""
    lines = list(GOOD[name])
    if at is None:
        lines.append(line)
    else:
        lines[at - 1] = line
    return {name: lines}
