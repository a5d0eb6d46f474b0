"""Two results files beside each other."""

from pathlib import Path

import pytest

from tests.bench.compare import main
from tests.bench.results import merge
from tests.unit.bench.made_up import OTHER_MACHINE, figure, run_of

ORDER = ("ticks", "bursts")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Return files of two machines, with a part of its own each and one in common."""
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    merge(a, "bursts", run_of(), ORDER)
    merge(b, "sockets", run_of(machine=OTHER_MACHINE), ORDER)
    merge(
        a,
        "ticks",
        run_of(
            figure("cost", 100.0, "ns", spread=0.05, target="<= 150 ns", verdict="met"),
            figure("  of which guards", 40.0, "ns"),
            figure("engine : bare", 2.0, "x", interval=(1.9, 2.1)),
            figure("lines", 0.0, "lines"),
            figure("rate", 1.0, "/s"),
            figure("dropped", 1.0),
        ),
        ORDER,
    )
    merge(
        b,
        "ticks",
        run_of(
            figure("cost", 200.0, "ns", spread=0.05, target="<= 150 ns", verdict="missed"),
            figure("  of which guards", 60.0, "ns"),
            figure("engine : bare", 2.05, "x", interval=(2.0, 2.2)),
            figure("lines", 0.0, "lines"),
            figure("rate", 1_000.0, "/ms"),
            figure("added", 1.0),
            machine=OTHER_MACHINE,
        ),
        ORDER,
    )
    return a, b


def test_figures_stand_beside_each_other_with_what_their_rounds_say(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(path) for path in files]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for line in (
        "2026-01-05, 0123456789, 2 × A processor, Linux 6, CPython 3.11.7",
        "2026-01-05, 0123456789, 8 × Another processor, Linux 6, CPython 3.12",
        "cost 100 200 ns 2 differs met, then missed",
        "cost: of which guards 40 60 ns 1.5 one round",
        "engine : bare 2 2.05 x 1.02 within noise",
        "lines 0 0 lines",
        "rate 1 /s 1,000 /ms other unit",
        "only in A: dropped",
        "only in B: added",
        "only in A: bursts",
        "only in B: sockets",
    ):
        assert line in lines


def test_a_file_that_is_missing_or_holds_something_else_is_named(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(files[0]), str(tmp_path / "none.json")]) == 2
    assert "none.json is not there: `make bench`" in capsys.readouterr().err
    other = tmp_path / "other.json"
    other.write_text('{"started": "2026-01-05"}')
    assert main([str(other), str(files[1])]) == 2
    assert "other.json does not hold results" in capsys.readouterr().err
