"""The generated files are those of the modules, byte for byte."""

from pathlib import Path

import pytest

from dashboards import files, uids


def test_the_generated_files_are_up_to_date() -> None:
    assert files.main(["--check"]) == 0


def test_a_dashboard_is_made_the_same_again() -> None:
    for board in files.BOARDS:
        assert board.encode() == board.encode()


def test_there_is_a_dashboard_for_every_uid() -> None:
    named = {value for name, value in vars(uids).items() if name.isupper()}
    assert {board.uid for board in files.BOARDS} == named


def test_a_stale_a_missing_and_a_foreign_file_are_told_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "FOLDER", tmp_path / "generated")
    assert files.main(["--check"]) == 1
    assert files.main([]) == 0
    assert files.main(["--check"]) == 0
    (tmp_path / "generated" / "tapewatch-loops.json").write_text("{}")
    (tmp_path / "generated" / "old.json").write_text("{}")
    capsys.readouterr()
    assert files.main(["--check"]) == 1
    assert "old.json, tapewatch-loops.json: run make dashboards" in capsys.readouterr().err
    assert files.main([]) == 0
    assert files.main(["--check"]) == 0
