"""What may be a state directory, and what may be removed."""

import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.engines import home
from orchestration.engines.errors import HomeError
from orchestration.engines.local import LocalEngines
from orchestration.engines.server_user import ServerUser
from orchestration.settings import Settings, temporary_home


@pytest.fixture
def directory() -> Iterator[Path]:
    path = temporary_home()
    yield path
    settings = Settings(home=path)
    if path.exists():
        home.prepare(settings)
        home.remove(settings)


def ignore(_: str) -> None:
    """Report to nobody."""


def test_a_new_home_is_marked_and_closed_to_lookers(directory: Path) -> None:
    home.prepare(Settings(home=directory / "deep" / "home"))

    assert home.is_home(directory / "deep" / "home")
    assert not stat.S_IMODE((directory / "deep" / "home").stat().st_mode) & (stat.S_IROTH | stat.S_IWOTH)
    home.remove(Settings(home=directory / "deep" / "home"))
    (directory / "deep").rmdir()


def test_a_directory_with_somebodys_files_does_not_become_a_home(directory: Path) -> None:
    (directory / "thesis.tex").write_text("years of work")

    with pytest.raises(HomeError, match=r"'thesis.tex' is in it.*name a new or empty directory"):
        LocalEngines(Settings(home=directory)).start(ignore)

    (directory / "thesis.tex").unlink()


def test_destroy_refuses_a_directory_that_is_not_a_home(directory: Path) -> None:
    (directory / "thesis.tex").write_text("years of work")

    with pytest.raises(HomeError, match="was not made by capstone"):
        LocalEngines(Settings(home=directory)).destroy(ignore)

    assert (directory / "thesis.tex").read_text() == "years of work"
    (directory / "thesis.tex").unlink()


def test_destroy_of_a_home_that_does_not_exist_does_nothing(directory: Path) -> None:
    lines: list[str] = []

    LocalEngines(Settings(home=directory / "nowhere")).destroy(lines.append)

    assert lines == [f"{directory / 'nowhere'} does not exist: nothing to remove"]


def test_removal_does_not_follow_links(directory: Path) -> None:
    outside = directory / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    settings = Settings(home=directory / "home")
    home.prepare(settings)
    (directory / "home" / "link").symlink_to(outside)

    home.remove(settings)

    assert (outside / "kept").exists()
    (outside / "kept").unlink()
    outside.rmdir()


def test_a_file_in_place_of_the_home_is_an_error(directory: Path) -> None:
    (directory / "file").touch()

    with pytest.raises(HomeError, match="is not a directory"):
        home.prepare(Settings(home=directory / "file"))

    (directory / "file").unlink()


def test_a_path_that_a_shell_would_interpret_is_an_error(directory: Path) -> None:
    with pytest.raises(HomeError, match="characters"):
        home.prepare(Settings(home=directory / "a$(touch b)"))


def test_a_home_that_the_servers_user_cannot_reach_names_the_closed_directory(directory: Path) -> None:
    closed = directory / "closed"
    closed.mkdir(mode=0o700)
    stranger = ServerUser("stranger", uid=65533, gid=65533, drops=True)

    with pytest.raises(HomeError, match=f"'stranger', which may not enter {closed}:"):
        home.check_access(closed / "home", stranger)

    closed.rmdir()


def test_sockets_lie_in_the_home_unless_its_path_is_too_long(directory: Path) -> None:
    assert home.sockets_path(Settings(home=directory)) == directory / "sockets"

    deep = Settings(home=directory / ("d" * 80))
    path = home.sockets_path(deep)
    assert len(os.fsencode(path)) + len("/.s.PGSQL.65535") <= 107
    assert path != home.sockets_path(Settings(home=directory / ("e" * 80)))


def test_a_socket_directory_prepared_by_somebody_else_is_refused(directory: Path) -> None:
    deep = Settings(home=directory / ("d" * 80))
    me = ServerUser(pwd.getpwuid(os.geteuid()).pw_name, os.geteuid(), os.getegid(), drops=False)
    link = home.sockets_path(deep)
    link.symlink_to(directory)
    try:
        with pytest.raises(HomeError, match="is a link"):
            home.sockets_directory(deep, me)
    finally:
        link.unlink()
