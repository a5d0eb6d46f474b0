"""What is wrong with a scenario: every fault names file, line, field and rule.

Faults are collected and raised together as one `ScenarioError`; at `MAX_FAULTS` reading stops, for
a file of the wrong kind has as many faults as fields.
"""

from pathlib import Path
from typing import NamedTuple

MAX_FAULTS = 100


class Fault(NamedTuple):
    """A broken rule. `line` counts from 1; `field` is empty where the whole line is at fault."""

    file: str
    line: int
    field: str
    rule: str

    def __str__(self) -> str:
        field = f"{self.field}: " if self.field else ""
        return f"{self.file}:{self.line}: {field}{self.rule}"


class ScenarioError(ValueError):
    """A scenario that was refused as a whole; `faults` tells all that was found."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        more = f" (the first {MAX_FAULTS})" if len(faults) >= MAX_FAULTS else ""
        lines = "\n".join(f"  {fault}" for fault in faults)
        super().__init__(f"nothing was loaded, correct these faults{more}:\n{lines}")
        self.faults = faults


class Faults:
    """Collects the faults of a scenario."""

    def __init__(self) -> None:
        self._found: list[Fault] = []
        self._is_broken = False

    def __len__(self) -> int:
        return len(self._found)

    def add(self, path: Path, line: int, field: str, rule: str) -> None:
        """Note a fault.

        Raises:
            ScenarioError: there are `MAX_FAULTS` by now.
        """
        self.take(Fault(path.name, line, field, rule))

    def take(self, fault: Fault) -> None:
        """Note a fault that is already described; raises as `add` does."""
        self._found.append(fault)
        if len(self._found) >= MAX_FAULTS:
            self.check()

    def break_off(self, path: Path, line: int, field: str, rule: str) -> None:
        """Note a fault that kept a file from being read to its end."""
        self._is_broken = True
        self.add(path, line, field, rule)

    def check_whole(self) -> None:
        """Raise `ScenarioError` if a file was not read to its end: what refers to it is moot."""
        if self._is_broken:
            self.check()

    def check(self) -> None:
        """Raise `ScenarioError` if there is any fault."""
        if self._found:
            raise ScenarioError(tuple(self._found))
