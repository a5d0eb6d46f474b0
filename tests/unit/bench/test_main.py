"""`make bench` keeps what it finds, part by part."""

from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench.results import PartResults, read_results
from tests.unit.bench.made_up import figure, run_of


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where results go, of parts that are over at once; `triggers` fails."""

    def run_apart(part: str) -> PartResults:
        if part == "triggers":
            raise RuntimeError("no server")
        return run_of(figure(f"cost of {part}", 2.0, target="<= 3 ms", verdict="met"))

    path = tmp_path / "build" / "bench.json"
    monkeypatch.setattr(bench, "RESULTS", path)
    monkeypatch.setattr(bench, "run_apart", run_apart)
    return path


def test_parts_are_told_and_kept_and_one_that_fails_does_not_end_the_others(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main(["fanout", "triggers", "quiet_ticks"]) == 1
    told = capsys.readouterr()
    assert "1 of 3, about " in told.out
    assert "cost of fanout  2  ms    <= 3 ms  met" in told.out
    assert "RuntimeError: no server" in told.err
    assert "failed, see above: triggers" in told.err
    assert bench.main(["log_lines"]) == 0
    assert list(read_results(results).parts) == ["quiet_ticks", "fanout", "log_lines"]


def test_what_cannot_be_done_is_said_before_anything_is_measured(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        bench.main(["ticks"])
    assert "no part is called ticks: choose quiet_ticks," in capsys.readouterr().err
    results.parent.mkdir()
    results.write_text("{}")
    with pytest.raises(SystemExit):
        bench.main(["fanout"])
    assert "Move it away" in " ".join(capsys.readouterr().err.split())
