"""Tick files: CSV `time,symbol,bid,ask`, streamed as quotes.

Prices become points exactly. What can be read is passed on as it is, zeros, crossed and late quotes
too, for the guards of the engine to refuse; a symbol the scenario does not know comes with prices
of 0 under its name, which the engine refuses as unknown. A line that cannot be read at all (a field
too many, no number, more decimals than the symbol has) becomes no quote: it is reported with file,
line, field and rule, and the lines after it are read. Lines end at a line break, always, so that
a stray quotation mark spoils one line only.
"""

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from service.domain.instrument import Symbol
from service.domain.quote import Quote
from service.scenario.decimals import Scaled
from service.scenario.fault import Fault, Faults
from service.scenario.table import check_header
from service.scenario.times import Times

TICK_COLUMNS = ("time", "symbol", "bid", "ask")
_UNREADABLE = "\N{REPLACEMENT CHARACTER}"


def read_ticks(
    path: Path, symbols: Mapping[str, Symbol], on_malformed: Callable[[Fault], None]
) -> Iterator[Quote]:
    """Return the quotes of a tick file, read as they are asked for.

    Args:
        on_malformed: told of every line that cannot be read.

    Raises:
        ScenarioError: at once, where the file is missing, empty, or has other columns.
    """
    faults = Faults()
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            first = file.readline()
    except OSError as error:
        faults.add(path, 1, "", f"must be a readable file: {error.strerror}")
    else:
        check_header(path, _split(first), TICK_COLUMNS, faults)
    faults.check()
    return _read(path, symbols, on_malformed)


def check_ticks(path: Path, symbols: Mapping[str, Symbol], faults: Faults) -> None:
    """Note every line of a tick file that cannot be read."""
    for _ in read_ticks(path, symbols, faults.take):
        pass


def _read(
    path: Path, symbols: Mapping[str, Symbol], on_malformed: Callable[[Fault], None]
) -> Iterator[Quote]:
    read_time = Times().read
    points = {name: Scaled(symbol.digits) for name, symbol in symbols.items()}
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        file.readline()
        for line_number, line in enumerate(file, 2):
            fields = _split(line) if '"' in line else line.rstrip("\n").split(",")
            try:
                time_text, name, bid_text, ask_text = fields
                scaled = points.get(name)
                if scaled is not None:
                    quote = Quote(name, scaled[bid_text], scaled[ask_text], read_time(time_text))
                elif name and _UNREADABLE not in name:
                    quote = Quote(name, 0, 0, read_time(time_text))
                else:
                    raise ValueError("must be the name of a symbol")
            except ValueError:
                if fields != [""]:
                    on_malformed(_fault(path, line_number, fields, points))
                continue
            yield quote


def _split(line: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\n")], strict=True), [""])
    except csv.Error:
        return [line]


def _fault(path: Path, line: int, fields: list[str], points: Mapping[str, Scaled]) -> Fault:
    """Find which field of a line cannot be read, and why."""
    if len(fields) != len(TICK_COLUMNS):
        width = len(TICK_COLUMNS)
        return Fault(path.name, line, "", f"must have {width} fields, not {len(fields)}")
    time_text, name, bid_text, ask_text = fields
    try:
        Times().read(time_text)
    except ValueError as error:
        return Fault(path.name, line, "time", str(error))
    scaled = points.get(name)
    if scaled is not None:
        for field, text in (("bid", bid_text), ("ask", ask_text)):
            try:
                scaled[text]
            except ValueError as error:
                return Fault(path.name, line, field, str(error))
    return Fault(path.name, line, "symbol", "must be the name of a symbol")
