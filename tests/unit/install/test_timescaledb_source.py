from pathlib import Path

import pytest

from orchestration.engines.binaries import PostgresBinaries
from orchestration.engines.install.errors import InstallError
from orchestration.engines.install.timescaledb_source import installed_version, publish, work_directory

FILES = (
    "usr/lib/postgresql/15/lib/timescaledb.so",
    "usr/lib/postgresql/15/lib/timescaledb-2.19.3.so",
    "usr/share/postgresql/15/extension/timescaledb--2.19.3.sql",
)
CONTROL = "usr/share/postgresql/15/extension/timescaledb.control"


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    tree = tmp_path / "staged"
    for name in FILES:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("content")
    (tree / CONTROL).write_text("comment = 'x'\ndefault_version = '2.19.3'\n")
    return tree


def binaries(root: Path) -> PostgresBinaries:
    return PostgresBinaries(15, root / "usr/lib/postgresql/15")


def test_what_is_published_is_found_and_recorded(staged: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    assert installed_version(binaries(root)) is None
    publish(staged, root, tmp_path / "files")
    assert installed_version(binaries(root)) == "2.19.3"
    assert {Path(line) for line in (tmp_path / "files").read_text().split()} == {root / n for n in (*FILES, CONTROL)}


@pytest.mark.parametrize("missing", [*FILES, CONTROL])
def test_a_part_that_is_missing_or_empty_makes_it_not_installed(staged: Path, tmp_path: Path, missing: str) -> None:
    root = tmp_path / "root"
    publish(staged, root, tmp_path / "files")
    (root / missing).write_text("")
    assert installed_version(binaries(root)) is None
    (root / missing).unlink()
    assert installed_version(binaries(root)) is None


def test_the_loader_comes_last_so_that_half_an_installation_is_never_taken_for_one(
    staged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, placed = tmp_path / "root", []
    replace = Path.replace

    def replace_and_note(self: Path, target: Path) -> Path:
        assert not binaries(root).has_timescaledb
        placed.append(target.name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_and_note)
    publish(staged, root, tmp_path / "files")
    assert placed[-1] == "timescaledb.so"
    assert len(placed) == len(FILES) + 1


def test_a_build_without_a_loader_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "staged").mkdir()
    with pytest.raises(InstallError, match=r"timescaledb\.so"):
        publish(tmp_path / "staged", tmp_path / "root", tmp_path / "files")


def test_the_directory_of_a_killed_build_is_removed_by_the_next(tmp_path: Path) -> None:
    stale = tmp_path / "timescaledb-build-killed"
    stale.mkdir()
    with work_directory(tmp_path) as work:
        assert not stale.exists()
        assert work.is_dir()
    assert not work.exists()
