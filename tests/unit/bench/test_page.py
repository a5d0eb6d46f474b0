"""The page is written from the kept run, and is noticed when it is not up to date."""

from pathlib import Path

import pytest

from tests.bench.page import BEGIN, END, main
from tests.bench.results import merge
from tests.unit.bench.made_up import OTHER_MACHINE, figure, run_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a checkout with a run of two parts, its texts and a README."""
    run = tmp_path / "benchmarks" / "run.json"
    merge(run, "ticks", run_of(figure("cost", 410.0, "ns", spread=0.02)), ())
    nested = figure("  engine | bare", 2.0, "x", target="<= 3 x", verdict="met")
    merge(run, "end_to_end", run_of(figure("rate", 9_000.0, "/s"), nested), ())
    (tmp_path / "benchmarks" / "FOUND.md").write_text("Ticks take {{ticks: cost}}.\n")
    (tmp_path / "benchmarks" / "SPEED.md").write_text("A tick: {{ticks: cost}}.\n")
    (tmp_path / "benchmarks" / "SCALING.md").write_text("More of {{ticks: cost}}.\n")
    (tmp_path / "deploy").mkdir()
    (tmp_path / "README.md").write_text(f"# It\n\n{BEGIN}\nold\n{END}\n\nmore\n")
    return tmp_path


def test_it_tells_the_run_its_figures_and_what_was_written_about_them(root: Path) -> None:
    assert main([], root) == 0
    page = (root / "BENCHMARKS.md").read_text()
    for line in (
        "- 2 × A processor, 8 GB of memory, Linux 6",
        "- commit 0123456789",
        "- begun 2026-01-05 10:00 UTC, 2 minutes of measuring",
        "Ticks take 410 ns.",
        "### Ticks",
        "| cost | 410 ns | ± 2% |  |  |",
        "| &emsp;engine \\| bare | 2× |  | ≤ 3× | met |",
        "![Cost of a tick](benchmarks/plots/ticks-cost-of-a-tick.svg)",
    ):
        assert line in page.splitlines()
    assert page.index("ARGS=end_to_end") < page.index("ARGS=ticks")
    assert (root / "benchmarks/plots/ticks-cost-of-a-tick.svg").read_text().startswith("<?xml")
    assert (root / "deploy/SCALING.md").read_text().endswith("\n\nMore of 410 ns.\n")
    assert (root / "README.md").read_text() == f"# It\n\n{BEGIN}\nA tick: 410 ns.\n{END}\n\nmore\n"


def test_many_figures_are_folded_away(root: Path) -> None:
    figures = [figure(f"figure {number}", 1.0) for number in range(31)]
    merge(root / "benchmarks" / "run.json", "end_to_end", run_of(*figures), ())
    assert main([], root) == 0
    page = (root / "BENCHMARKS.md").read_text()
    folded = page.partition("<details><summary>31 figures</summary>\n\n|")[2]
    assert "| figure 30 | 1 ms |" in folded.partition("\n\n</details>")[0]


def test_parts_that_were_measured_elsewhere_say_so(root: Path) -> None:
    merge(root / "benchmarks" / "run.json", "ticks", run_of(machine=OTHER_MACHINE), ())
    (root / "benchmarks" / "FOUND.md").write_text("Nothing.\n")
    (root / "benchmarks" / "SPEED.md").write_text("Fast.\n")
    (root / "benchmarks" / "SCALING.md").write_text("Far.\n")
    assert main([], root) == 0
    page = (root / "BENCHMARKS.md").read_text()
    assert "Parts ticks:" in page
    assert "Parts end_to_end:" in page


def test_what_is_not_up_to_date_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"], root) == 1
    told = capsys.readouterr().err
    for name in ("BENCHMARKS.md", "README.md", "benchmarks/plots/ticks-cost-of-a-tick.svg"):
        assert f"{name} is not up to date with benchmarks/run.json: run make benchmarks" in told
    assert main([], root) == main(["--check"], root) == 0
    stray = root / "benchmarks" / "plots" / "gone.svg"
    stray.write_text("")
    assert main(["--check"], root) == 1
    assert main([], root) == main(["--check"], root) == 0
    assert not stray.exists()


def test_what_cannot_be_written_says_why(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "benchmarks" / "SPEED.md").write_text("A tick takes 12 ns.\n")
    assert main([], root) == 2
    assert "name the figures of a run" in capsys.readouterr().err
    (root / "README.md").write_text("# It\n")
    assert main([], root) == 2
    assert "README.md has no <!-- speed" in capsys.readouterr().err
    (root / "benchmarks" / "run.json").unlink()
    assert main(["--check"], root) == 2
    assert "run.json is not there" in capsys.readouterr().err
