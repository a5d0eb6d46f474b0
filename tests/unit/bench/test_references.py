"""Texts name their figures."""

from pathlib import Path

import pytest

from tests.bench.references import Faulty, fill
from tests.bench.results import FORMAT, Results, Unreadable, merge
from tests.unit.bench.made_up import figure, run_of

NOW = Results({"bursts": run_of(figure("SL/TP: before : product", 93.4, "x"))}, FORMAT)


def test_a_figure_is_that_of_the_run_or_of_a_file_beside_it(tmp_path: Path) -> None:
    merge(tmp_path / "earlier.json", "bursts", run_of(figure("a burst", 12.34, "ms")), ())
    text = "From {{earlier.json bursts: a burst}} to {{bursts: SL/TP: before : product}}."
    assert fill(text, NOW, tmp_path) == "From 12.3 ms to 93.4×."
    assert fill("{{sockets: rate}}", NOW, tmp_path) == "not measured"
    with pytest.raises(Faulty, match="no figure 'SL/TP', but SL/TP: before : product"):
        fill("{{bursts: SL/TP}}", NOW, tmp_path)
    with pytest.raises(Faulty, match=r"\{\{file\.json part: figure"):
        fill("{{bursts SL/TP}}", NOW, tmp_path)
    with pytest.raises(Unreadable, match=r"none\.json is not there"):
        fill("{{none.json bursts: SL/TP}}", NOW, tmp_path)


@pytest.mark.parametrize("typed", ["12 ms", "1.4 times", "3.5×", "40 %", "10,000 ticks/s"])
def test_a_figure_that_is_typed_is_refused_unless_it_is_no_measurement(
    typed: str, tmp_path: Path
) -> None:
    with pytest.raises(Faulty, match="name the figures of a run"):
        fill(f"It takes {typed} now.", NOW, tmp_path)
    assert fill(f"With 1,000 orders and `{typed}`.", NOW, tmp_path).endswith(f"`{typed}`.")
