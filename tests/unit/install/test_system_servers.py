import shutil
from pathlib import Path

import pytest

from orchestration.engines.binaries import PostgresBinaries
from orchestration.engines.install import debian_packages, service_guard, system_servers
from orchestration.engines.install.errors import UnsupportedMachineError
from orchestration.engines.install.machine import Machine, parse_os_release
from orchestration.engines.install.system_servers import plan
from orchestration.engines.install.wanted_servers import (
    POSTGRES_VARIABLES,
    REDIS_VARIABLES,
    WantedServers,
    wanted_servers,
)
from orchestration.settings import Settings

BOOKWORM = Machine("debian", "12", "bookworm", "Debian GNU/Linux 12 (bookworm)")
TRIXIE = Machine("debian", "13", "trixie", "Debian GNU/Linux 13 (trixie)")
UBUNTU = Machine("ubuntu", "24.04", "noble", "Ubuntu 24.04 LTS")
MACOS = Machine("darwin", "", "", "Darwin 24.1.0")
BOTH = WantedServers(postgres=True, redis=True)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is installed, and apt's lists are there."""
    monkeypatch.setattr(system_servers, "usable_postgres", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(system_servers, "_keyring_is_old", lambda: False)
    monkeypatch.setattr(debian_packages, "installed", lambda _: set())
    monkeypatch.setattr(debian_packages, "without_candidate", lambda _: set())


@pytest.mark.usefixtures("bare")
def test_debian_12_builds_timescaledb_from_the_next_releases_source(tmp_path: Path) -> None:
    todo = plan(BOOKWORM, BOTH, ["python3-venv"], tmp_path)
    assert {"python3-venv", "redis-server", "postgresql-15", "postgresql-server-dev-15", "cmake"} <= set(todo.packages)
    assert (todo.build_for, todo.suite, todo.refresh) == (15, "trixie", False)
    assert set(todo.services) == {"redis-server", "pgbouncer", "postgresql"}
    assert len(todo.steps) == 3


@pytest.mark.usefixtures("bare")
def test_debian_13_has_it_packaged(tmp_path: Path) -> None:
    todo = plan(TRIXIE, BOTH, [], tmp_path)
    assert set(todo.packages) == {"redis-server", "pgbouncer", "postgresql-17", "postgresql-17-timescaledb"}
    assert todo.build_for is None


@pytest.mark.usefixtures("bare")
def test_empty_package_lists_are_fetched_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian_packages, "without_candidate", set)
    assert plan(TRIXIE, BOTH, [], tmp_path).steps[0] == "Refresh apt's package lists"


@pytest.mark.usefixtures("bare")
def test_an_old_keyring_is_renewed_before_the_next_release_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_servers, "_keyring_is_old", lambda: True)
    assert "debian-archive-keyring" in plan(BOOKWORM, BOTH, [], tmp_path).packages
    assert "debian-archive-keyring" not in plan(TRIXIE, BOTH, [], tmp_path).packages


@pytest.mark.usefixtures("bare")
def test_services_that_are_there_already_are_not_held_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian_packages, "installed", lambda _: {"postgresql-15", "cmake"})
    todo = plan(BOOKWORM, BOTH, [], tmp_path)
    assert "postgresql-15" not in todo.packages
    assert todo.services == ("redis-server", "pgbouncer")
    assert todo.build_for == 15


def test_where_everything_is_there_nothing_is_done_on_any_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = (PostgresBinaries(17, Path("/usr/lib/postgresql/17")), "2.19.3")
    monkeypatch.setattr(system_servers, "usable_postgres", lambda: there)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/redis-server")
    for machine in (BOOKWORM, TRIXIE, UBUNTU, MACOS):
        assert plan(machine, BOTH, [], tmp_path).steps == ()


def test_an_installation_that_was_killed_is_finished_even_when_all_programs_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_servers, "usable_postgres", lambda: (PostgresBinaries(15, Path("/x")), "2.19.3"))
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/redis-server")
    (tmp_path / service_guard.MARKER).write_text('{"services": ["redis-server"]}')
    assert plan(BOOKWORM, BOTH, [], tmp_path).steps == ("Install Debian packages: finish what was interrupted",)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("machine", [UBUNTU, MACOS, Machine("debian", "11", "bullseye", "Debian 11")])
def test_elsewhere_the_error_names_what_is_missing_and_every_way_on(machine: Machine, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedMachineError) as caught:
        plan(machine, BOTH, [], tmp_path)
    text = str(caught.value)
    for words in (machine.name, "TimescaleDB", "redis-server", "docker compose up", *POSTGRES_VARIABLES):
        assert words in text


@pytest.mark.usefixtures("bare")
def test_servers_that_run_elsewhere_are_not_installed(tmp_path: Path) -> None:
    everything = dict.fromkeys((*POSTGRES_VARIABLES, *REDIS_VARIABLES), "set")
    assert plan(MACOS, wanted_servers(everything), [], tmp_path).steps == ()
    assert plan(TRIXIE, wanted_servers({**everything, "CAPSTONE_DSN_EU": ""}), [], tmp_path).packages == (
        "pgbouncer",
        "postgresql-17",
        "postgresql-17-timescaledb",
    )
    assert plan(TRIXIE, wanted_servers({**everything, "CAPSTONE_REDIS_URL_NA": ""}), [], tmp_path).packages == (
        "redis-server",
    )


def test_the_variables_are_those_of_the_settings() -> None:
    for name in (*POSTGRES_VARIABLES, *REDIS_VARIABLES):
        assert name.removeprefix("CAPSTONE_").lower() in Settings.model_fields


def test_an_os_release_file_is_read_with_its_quotes() -> None:
    text = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nVERSION_CODENAME=trixie\nID=debian\n# x=y\n'
    assert parse_os_release(text) == TRIXIE
