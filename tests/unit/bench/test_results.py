"""The results file keeps what was not run again, and says what each part ran on."""

import subprocess
from pathlib import Path

import pytest

from tests.bench.checkout import describe_checkout
from tests.bench.machine import describe_machine
from tests.bench.results import Unreadable, circumstances, merge, read_results
from tests.unit.bench.made_up import CHECKOUT, MACHINE, OTHER_MACHINE, figure, run_of

ORDER = ("ticks", "bursts", "sockets")


def test_a_run_of_some_parts_takes_their_place_and_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench.json"
    merge(path, "bursts", run_of(figure("commit", 2.0)), ORDER)
    merge(path, "gone", run_of(), ORDER)
    merge(path, "ticks", run_of(), ORDER)
    again = run_of(figure("commit", 1.0), started="2026-01-06T10:00:00+00:00")
    merge(path, "bursts", again, ORDER)
    results = read_results(path)
    assert list(results.parts) == ["ticks", "bursts", "gone"]
    assert results.parts == {"ticks": run_of(), "bursts": again, "gone": run_of()}
    assert results.figure("bursts", "commit") == figure("commit", 1.0)
    assert results.figure("bursts", "nothing") is results.figure("sockets", "commit") is None
    assert [each.name for each in path.parent.iterdir()] == ["bench.json"]


def test_a_file_that_holds_no_results_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    with pytest.raises(Unreadable, match="is not there: `make bench`"):
        read_results(path)
    with pytest.raises(Unreadable, match="cannot be read"):
        read_results(tmp_path)
    for text in (
        "",
        "[]",
        '{"parts":{}}',
        '{"format":1,"parts":{}}',
        '{"format":2,"parts":{"a":1}}',
    ):
        path.write_text(text)
        with pytest.raises(Unreadable, match="Move it away"):
            read_results(path)
        with pytest.raises(Unreadable):
            merge(path, "ticks", run_of(), ORDER)
        assert path.read_text() == text


def test_what_was_measured_differently_is_told_apart() -> None:
    parts = {
        "ticks": run_of(started="2026-01-07T10:00:00+00:00"),
        "bursts": run_of(machine=OTHER_MACHINE),
        "sockets": run_of(),
    }
    first, second = circumstances(parts)
    assert (first.machine, first.checkout) == (MACHINE, CHECKOUT)
    assert first.parts == ("ticks", "sockets")
    assert (first.first_started[:10], first.last_started[:10]) == ("2026-01-05", "2026-01-07")
    assert (second.machine, second.parts) == (OTHER_MACHINE, ("bursts",))


def test_a_checkout_is_a_commit_and_whether_it_was_changed(tmp_path: Path) -> None:
    assert str(describe_checkout(tmp_path)) == "no commit"

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / ".gitignore").write_text("build/\n")
    git("add", ".")
    git("commit", "-m", "first")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "bench.json").write_text("{}")
    checkout = describe_checkout(tmp_path)
    assert checkout.commit is not None
    assert not checkout.is_changed
    assert str(checkout) == checkout.commit[:10]
    (tmp_path / "new.py").write_text("")
    assert str(describe_checkout(tmp_path)) == f"{checkout.commit[:10]}, changed since"


def test_this_machine_can_be_described() -> None:
    machine = describe_machine()
    assert machine.cpus >= 1
    assert machine.versions["python"]
