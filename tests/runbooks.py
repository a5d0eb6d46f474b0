"""The runbooks as the tests read them; their form is told in `alerts/runbooks/README.md`."""

import re
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from telemetry.thresholds import ALERT_LIMITS, AlertLimit

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "alerts" / "runbooks"
README = FOLDER / "README.md"
HEADINGS = ("Meaning", "Impact", "Diagnosis", "Mitigation")
LIMITS = {limit.alert: limit for limit in ALERT_LIMITS}
_FENCE = re.compile(r"^```(\w+)(?: ([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_FACTS = re.compile(
    r"^\| severity \| dashboard \| limit \|\n\|---\|---\|---\|\n"
    r"\| (?P<severity>\w+) \| `(?P<dashboard>[\w-]+)` \| (?P<limit>.+) \|$",
    re.MULTILINE,
)


class Fence(NamedTuple):
    """A block of code; `note` is what follows its language."""

    runbook: str
    section: str
    language: str
    note: str
    text: str

    def __str__(self) -> str:
        return f"{self.runbook}: {self.text.splitlines()[0][:60]}"


class Runbook:
    """One file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.stem
        self.text = path.read_text(encoding="utf-8")

    def __repr__(self) -> str:
        return self.name

    @property
    def headings(self) -> tuple[str, ...]:
        return tuple(_SECTION.findall(self.text))

    @cached_property
    def facts(self) -> dict[str, str]:
        """Return severity, dashboard and limit as the table has them."""
        found = _FACTS.search(self.text)
        assert found is not None, f"{self.name} has no table of severity, dashboard and limit"
        return found.groupdict()

    @cached_property
    def sections(self) -> dict[str, str]:
        _, *parts = _SECTION.split(self.text)
        return dict(zip(parts[::2], parts[1::2], strict=True))

    def fences(self, language: str) -> list[Fence]:
        return [
            Fence(self.name, section, language, note, text)
            for section, content in self.sections.items()
            for found, note, text in _FENCE.findall(content)
            if found == language
        ]


def runbooks() -> list[Runbook]:
    return [Runbook(path) for path in sorted(FOLDER.glob("*.md")) if path != README]


def set_up() -> str:
    """Return the lines that set up the shell for all of them."""
    (block,) = re.findall(r"^```sh\n(.*?)^```$", README.read_text(encoding="utf-8"), re.M | re.S)
    return str(block)


def spoken(limit: AlertLimit | None) -> str:
    """Return a limit as runbooks write it."""
    if limit is None:
        return "none"
    match limit.unit:
        case "percentunit":
            figure = f"{limit.value * 100:g} %"
        case "short":
            figure = f"{limit.value:g}"
        case unit:
            figure = f"{limit.value:g} {unit}"
    return f"{figure}: {limit.meaning}"
