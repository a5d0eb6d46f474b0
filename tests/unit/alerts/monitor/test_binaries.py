"""Programs come from PATH or from packages; these packages are made by scripts that stand in."""

import concurrent.futures
from pathlib import Path

import pytest

from alerts.monitor.binaries import ADVICE, Programs, ProgramsMissing, find_programs

FETCHED = 2  # the programs, and what their pages are made of
NAMES = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")
SAYS = '#!/bin/sh\n# reads /usr/share/prometheus/alertmanager\necho "version {}"\n'
APT_GET = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
*Dir::State*) ;;
*) [ {lists} = there ] || {{ echo "E: Unable to locate package" >&2; exit 100; }} ;;
esac
case "$*" in *download*) touch prometheus_1.deb prometheus-alertmanager_1.deb ;; esac
"""
DPKG = """#!/bin/sh
mkdir -p "$3/usr/bin"
for name in prometheus promtool prometheus-alertmanager amtool; do
    cp {template} "$3/usr/bin/$name"
done
"""


class Machine:
    """A PATH with scripts on it."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.calls = folder / "calls"
        self._template = folder / "template"

    def has(self, name: str, script: str) -> None:
        path = self.programs / name
        path.write_text(script)
        path.chmod(0o755)

    def has_debian(self, version: str, *, lists: str = "there") -> None:
        self._template.write_text(SAYS.format(version))
        self._template.chmod(0o755)
        self.has("apt-get", APT_GET.format(log=self.calls, lists=lists))
        self.has("dpkg", DPKG.format(template=self._template))

    @property
    def downloads(self) -> int:
        return self.calls.read_text().count("download")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    for name in ("sh", "mkdir", "cp", "touch"):
        (machine.programs / name).symlink_to(Path("/bin") / name)
    monkeypatch.setenv("PATH", str(machine.programs))
    return machine


def test_without_programs_and_without_debian_it_says_what_to_install(
    machine: Machine, tmp_path: Path
) -> None:
    with pytest.raises(ProgramsMissing) as missing:
        find_programs(tmp_path / "folder")
    assert ADVICE in str(missing.value)


def test_programs_on_path_are_taken_as_they_are(machine: Machine, tmp_path: Path) -> None:
    for name in NAMES:
        machine.has(name, SAYS.format("3.1.0"))
    found = find_programs(tmp_path / "folder")
    assert found == Programs._make([*(machine.programs / name for name in NAMES), Path("/")])
    assert not (tmp_path / "folder").exists()


def test_older_programs_on_path_are_passed_over(machine: Machine, tmp_path: Path) -> None:
    for name in NAMES:
        machine.has(name, SAYS.format("2.41.9" if "prom" in name else "0.24.0"))
    machine.has_debian("2.42.0")
    assert find_programs(tmp_path / "folder").folder == tmp_path / "folder" / "debian"


def test_packages_are_fetched_once_and_nothing_else_is_left(
    machine: Machine, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    killed = folder / "unpacking-of-a-killed-process"
    killed.mkdir(parents=True)
    machine.has_debian("2.42.0")
    first = find_programs(folder)
    assert find_programs(folder) == first
    assert machine.downloads == FETCHED
    assert sorted(path.name for path in folder.iterdir()) == ["debian", "lock"]


def test_the_servers_look_below_their_working_directory(machine: Machine, tmp_path: Path) -> None:
    machine.has_debian("2.42.0")
    found = find_programs(tmp_path / "folder")
    for server in (found.prometheus, found.alertmanager):
        assert "reads usr//share/prometheus/alertmanager\n" in server.read_text()


def test_missing_package_lists_are_fetched_into_the_folder(
    machine: Machine, tmp_path: Path
) -> None:
    machine.has_debian("2.42.0", lists="missing")
    find_programs(tmp_path / "folder")
    first, update, again, *_ = machine.calls.read_text().splitlines()
    assert "Dir::State" not in first
    assert update.endswith(" update")
    assert f"Dir::State={tmp_path}" in update
    assert f"Dir::State={tmp_path}" in again


def test_packages_that_are_too_old_are_refused(machine: Machine, tmp_path: Path) -> None:
    machine.has_debian("2.31.1")
    with pytest.raises(ProgramsMissing, match="not new enough"):
        find_programs(tmp_path / "folder")


def test_many_at_once_fetch_once(machine: Machine, tmp_path: Path) -> None:
    machine.has_debian("2.42.0")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = set(pool.map(find_programs, [tmp_path / "folder"] * 8))
    assert len(found) == 1
    assert machine.downloads == FETCHED
