"""The results file: for each part its last run, and under what circumstances that was.

A run of some parts takes the place of the same parts and leaves the others. So a file may hold runs
of several days, commits and machines: each part says its own, and whoever reads the file has to
tell them apart (`circumstances`).
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from tests.bench.checkout import Checkout
from tests.bench.machine import Machine
from tests.bench.plots import Plot
from tests.bench.report import Figure

FORMAT: Literal[2] = 2


class Unreadable(Exception):
    """A results file that is not there, or holds no results."""


class PartResults(msgspec.Struct, frozen=True):
    """What a part found, and when, where and of what.

    Attributes:
        started: ISO 8601 in UTC.
        load_before: the load averages of 1, 5 and 15 minutes before it started.
        took_s: seconds from its start to its end.
    """

    title: str
    started: str
    took_s: float
    checkout: Checkout
    machine: Machine
    load_before: tuple[float, float, float]
    figures: list[Figure]
    plots: list[Plot]
    rounds: dict[str, list[float]]

    def by_name(self) -> dict[str, Figure]:
        """Return the figures by name; one that is indented is of the last that is not."""
        named, above = {}, ""
        for figure in self.figures:
            if figure.name.startswith(" "):
                named[f"{above}: {figure.name.strip()}"] = figure
            else:
                named[figure.name] = figure
                above = figure.name
        return named


class Results(msgspec.Struct, frozen=True):
    """The parts by name."""

    parts: dict[str, PartResults]
    format: Literal[2]

    def figure(self, part: str, name: str) -> Figure | None:
        """Return a figure of a part, None if the part was not run or has no such figure."""
        run = self.parts.get(part)
        return None if run is None else run.by_name().get(name)


class Circumstances(NamedTuple):
    """What parts share that were measured alike."""

    machine: Machine
    checkout: Checkout
    first_started: str
    last_started: str
    parts: tuple[str, ...]


def read_results(path: Path) -> Results:
    """Read a file. Raises Unreadable, which says what to do."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Results)
    except FileNotFoundError:
        raise Unreadable(f"{path} is not there: `make bench` writes build/bench.json") from None
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise Unreadable(
            f"{path} does not hold results of this benchmark: {error}. "
            "Move it away, and measure anew with `make bench`"
        ) from None


def merge(path: Path, part: str, run: PartResults, order: Iterable[str]) -> None:
    """Put a part's run into a file, in place of an earlier one, its parts in this order.

    The file is always whole: a new one takes its place.
    """
    parts = dict(read_results(path).parts) if path.exists() else {}
    parts[part] = run
    places = {name: place for place, name in enumerate(order)}
    ordered = sorted(parts, key=lambda name: places.get(name, len(places)))
    text = msgspec.json.encode(Results({name: parts[name] for name in ordered}, FORMAT))
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_bytes(msgspec.json.format(text, indent=1) + b"\n")
    unfinished.replace(path)


def circumstances(parts: Mapping[str, PartResults]) -> list[Circumstances]:
    """Return what the parts were measured under: one, if on one machine and of one commit."""
    alike: dict[bytes, list[str]] = {}
    for name, run in parts.items():
        key = msgspec.json.encode((run.machine, run.checkout), order="sorted")
        alike.setdefault(key, []).append(name)
    groups = []
    for names in alike.values():
        started = sorted(parts[name].started for name in names)
        run = parts[names[0]]
        groups.append(
            Circumstances(run.machine, run.checkout, started[0], started[-1], tuple(names))
        )
    return groups
