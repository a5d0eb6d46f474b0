"""Mutants: the domain with one fragment of its source replaced by a fault.

A mutant is loaded as a whole fresh copy of the domain, and of the comparison on top of it, so that
nothing of the sound domain is mixed in; afterwards the sound modules are back in their place.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import service.domain

DOMAIN = Path(service.domain.__file__ or "").parent
TABLE = Path(__file__).with_name("mutants.txt")
FRESH = ("service.domain.", "tests.property.")


class Mutant(NamedTuple):
    """`old` stands once in the domain's `module` and becomes `new`."""

    name: str
    module: str
    old: str
    new: str


def read_mutants() -> list[Mutant]:
    """Read the table: a head `[module] name`, then the old and the new lines."""
    mutants = []
    for block in TABLE.read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if not lines:
            continue
        module, _, name = lines[0].removeprefix("[").partition("] ")
        old = "\n".join(line[2:] for line in lines[1:] if line.startswith("- "))
        new = "\n".join(line[2:] for line in lines[1:] if line.startswith("+ "))
        mutants.append(Mutant(name, module, old, new))
    return mutants


@contextmanager
def mutated(mutant: Mutant) -> Iterator[None]:
    """Import the domain and the comparison anew from the mutant for the length of the block.

    Raises:
        ValueError: the fragment does not stand exactly once in the module: the mutant has rotted.
    """
    path = DOMAIN / f"{mutant.module}.py"
    source = path.read_text(encoding="utf-8")
    if source.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: not once in {path.name}: {mutant.old!r}")
    sound = {name: module for name, module in sys.modules.items() if name.startswith(FRESH)}
    _put_back(sound, {})
    try:
        name = f"service.domain.{mutant.module}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        exec(compile(source.replace(mutant.old, mutant.new), path, "exec"), module.__dict__)
        yield
    finally:
        fresh = {name: module for name, module in sys.modules.items() if name.startswith(FRESH)}
        _put_back(fresh, sound)


def _put_back(present: dict[str, ModuleType], wanted: dict[str, ModuleType]) -> None:
    for name in present:
        del sys.modules[name]
    for name, module in wanted.items():
        sys.modules[name] = module
        package, _, leaf = name.rpartition(".")
        setattr(sys.modules[package], leaf, module)
