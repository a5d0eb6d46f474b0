"""Figures in texts that people write: named, not typed, so that they are those of a run.

`{{part: figure}}` stands for a figure of the run the page is about, `{{earlier.json part: figure}}`
for one of another results file beside it. A part that was not run reads "not measured"; a figure
that its part does not have is a fault of the text. Numbers with a unit that are nobody's
measurement, as of a setting, stand in `backticks`.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from tests.bench.figures import quantity
from tests.bench.results import Results, read_results

NOT_MEASURED = "not measured"
_REFERENCE = re.compile(r"\{\{(?:(?P<file>\S+\.json) )?(?P<part>\w+): (?P<figure>[^}]+)\}\}")
_UNITS = r"×|%|[µmn]?s\b|us\b|(?:kB|MB|GB)\b|/s\b|(?:ticks|messages|commands|quotes)/s|times\b"
_CODE = re.compile(r"`[^`]*`")
_TYPED = re.compile(rf"\d[\d.,]*\s?(?:{_UNITS})")


class Faulty(Exception):
    """A text that names figures that are not there, or holds some that no run can vouch for."""


def typed(text: str) -> list[str]:
    """Return the numbers with units that are typed in a text, which no run vouches for."""
    return _TYPED.findall(_CODE.sub("", _REFERENCE.sub("", text)))


def fill(text: str, results: Results, folder: Path) -> str:
    """Return a text with its figures in place; other files are of the folder.

    Raises Faulty for a figure that its part does not have, or is named otherwise, or typed, and
    Unreadable for a file without results.
    """
    if faults := typed(text):
        raise Faulty(f"name the figures of a run as {{{{part: figure}}}}: {', '.join(faults)}")
    if "{{" in _REFERENCE.sub("", text):
        raise Faulty("a figure is named as {{part: figure}}, or {{file.json part: figure}}")
    others: dict[str, Results] = {}
    return _REFERENCE.sub(lambda found: _figure(found.groupdict(), results, others, folder), text)


def _figure(
    named: Mapping[str, str | None], results: Results, others: dict[str, Results], folder: Path
) -> str:
    file, part, name = named["file"], named["part"] or "", named["figure"] or ""
    if file is not None:
        if file not in others:
            others[file] = read_results(folder / file)
        results = others[file]
    if part not in results.parts:
        return NOT_MEASURED
    figure = results.figure(part, name)
    if figure is None:
        known = "; ".join(results.parts[part].by_name())
        raise Faulty(f"part {part} has no figure {name!r}, but {known}")
    return quantity(figure)
