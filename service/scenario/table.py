"""CSV files as tables: exact header, right number of fields, UTF-8; a fault for all else.

Optional columns follow the others, in their order; those that are not there are empty.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from service.domain.money import ScaleError
from service.scenario.decimals import read_decimal, read_scaled
from service.scenario.fault import Faults

MAX_NAME = 32
_NAME = re.compile(r"[^\s{}]+(?: [^\s{}]+)*")
_WHOLE = re.compile(r"[0-9]{1,18}")
_YES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_LARGEST = Decimal(10**12)
_FINEST = -12

Choice = TypeVar("Choice", bound=StrEnum)


def read_rows(
    path: Path, columns: Sequence[str], faults: Faults, optional: Sequence[str] = ()
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of a table, the fields of `columns` and of `optional`.

    Blank lines are skipped, faulty lines noted and skipped.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            try:
                header = next(reader, None)
                if not check_header(path, header, columns, faults, optional):
                    return
                assert header is not None
                width = len(header)
                absent = [
                    number
                    for number, column in enumerate((*columns, *optional))
                    if column not in header
                ]
                for fields in reader:
                    if len(fields) == width:
                        for number in absent:
                            fields.insert(number, "")
                        yield reader.line_num, fields
                    elif fields:
                        faults.add(
                            path,
                            reader.line_num,
                            "",
                            f"must have {width} fields, not {len(fields)}",
                        )
            except csv.Error as error:
                faults.break_off(path, reader.line_num, "", f"must be CSV: {error}")
    except FileNotFoundError:
        faults.break_off(path, 1, "", "the file must be there")
    except UnicodeDecodeError:
        faults.break_off(path, _undecodable_line(path), "", "must be UTF-8")


def check_header(
    path: Path,
    header: Sequence[str] | None,
    columns: Sequence[str],
    faults: Faults,
    optional: Sequence[str] = (),
) -> bool:
    """Tell whether the first line names exactly these columns; note what is wrong.

    Of the `optional` ones any may be missing.
    """
    if header is None or not any(header):
        faults.break_off(path, 1, "", f"must not be empty: the first line is {','.join(columns)}")
        return False
    expected = [*columns, *(column for column in optional if column in header)]
    if list(header) == expected:
        return True
    missing = [column for column in columns if column not in header]
    extra = [column for column in header if column not in expected]
    for column in missing:
        faults.break_off(path, 1, column, "the column is missing")
    for column in extra:
        faults.break_off(path, 1, column, "there is no such column")
    if not missing and not extra:
        faults.break_off(
            path, 1, "", f"the columns must be {','.join(expected)}, once and in this order"
        )
    return False


def _undecodable_line(path: Path) -> int:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1


class Row:
    """A line whose fields are read one by one.

    A field at fault is noted and a stand-in returned, so that all faults of a line are found;
    `is_faulty` then says that nothing may be made of it.
    """

    def __init__(
        self, path: Path, line: int, columns: Sequence[str], fields: list[str], faults: Faults
    ) -> None:
        self.is_faulty = False
        self._path = path
        self._line = line
        self._values = dict(zip(columns, fields, strict=True))
        self._faults = faults

    def fault(self, field: str, rule: str) -> None:
        """Note a broken rule."""
        self.is_faulty = True
        self._faults.add(self._path, self._line, field, rule)

    def name(self, field: str) -> str:
        """Return a name: 1 to 32 printable characters without braces or outer spaces."""
        text = self._values[field]
        if not (len(text) <= MAX_NAME and text.isprintable() and _NAME.fullmatch(text)):
            self.fault(
                field, f"must be 1 to {MAX_NAME} printable characters, without braces, not {text!r}"
            )
        return text

    def currency(self, field: str) -> str:
        """Return a currency: 2 to 12 upper-case letters and digits."""
        text = self._values[field]
        if not (
            2 <= len(text) <= 12 and text.isascii() and text.isalnum() and text == text.upper()
        ):
            self.fault(field, f"must be 2 to 12 upper-case letters or digits, not {text!r}")
        return text

    def whole(self, field: str, lowest: int, highest: int) -> int:
        """Return a whole number within limits."""
        text = self._values[field]
        value = int(text) if _WHOLE.fullmatch(text) else None
        if value is None or not lowest <= value <= highest:
            self.fault(field, f"must be a whole number from {lowest} to {highest}, not {text!r}")
            return lowest
        return value

    def decimal(
        self, field: str, *, empty: Decimal | None = None, lowest: Decimal | None = None
    ) -> Decimal:
        """Return a decimal of sane size, at least `lowest`; `empty` is what an empty field means.

        Without `empty` the field is required.
        """
        text = self._values[field]
        if not text and empty is not None:
            return empty
        try:
            value = read_decimal(text)
        except ScaleError as error:
            self.fault(field, str(error))
            return Decimal(1)
        exponent = value.as_tuple().exponent
        if abs(value) >= _LARGEST or not isinstance(exponent, int) or exponent < _FINEST:
            self.fault(field, f"must be below {_LARGEST:f} and of at most {-_FINEST} decimals")
            return Decimal(1)
        if lowest is not None and value < lowest:
            self.fault(field, f"must be at least {lowest}, not {text}")
        return value

    def positive(self, field: str, *, empty: Decimal | None = None) -> Decimal:
        """Return a decimal above zero."""
        value = self.decimal(field, empty=empty)
        if value <= 0:
            self.fault(field, f"must be above 0, not {value}")
            return Decimal(1)
        return value

    def scaled(self, field: str, digits: int) -> int:
        """Return a decimal above zero as an integer in 10^-digits."""
        try:
            value = read_scaled(self._values[field], digits)
        except ScaleError as error:
            self.fault(field, str(error))
            return 1
        if value <= 0:
            self.fault(field, f"must be above 0, not {self._values[field]}")
            return 1
        return value

    def text(self, field: str) -> str:
        """Return a field as it is."""
        return self._values[field]

    def choice(self, field: str, kind: type[Choice], *, empty: Choice | None = None) -> Choice:
        """Return one of a closed set; `empty` is what an empty field means."""
        text = self._values[field]
        if not text and empty is not None:
            return empty
        try:
            return kind(text)
        except ValueError:
            self.fault(field, f"must be one of {', '.join(kind)}, not {text!r}")
            return next(iter(kind))

    def truth(self, field: str) -> bool:
        """Return true (true, yes, 1) or false (false, no, 0)."""
        value = _YES.get(self._values[field].lower())
        if value is None:
            self.fault(field, f"must be true or false, not {self._values[field]!r}")
            return False
        return value
