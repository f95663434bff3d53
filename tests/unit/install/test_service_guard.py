import subprocess
from pathlib import Path

import pytest

from orchestration.engines.install.service_guard import MARKER, NO_MAIN_CLUSTER, POLICY, hold_back, unfinished


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for directory in ("usr/sbin", "etc/postgresql-common"):
        (tmp_path / directory).mkdir(parents=True)
    return tmp_path


def asked(root: Path, service: str) -> int:
    return subprocess.run(["sh", root / POLICY, service, "start"], check=False).returncode


def test_only_new_services_are_held_back_and_only_meanwhile(root: Path) -> None:
    with hold_back(["redis-server", "postgresql"], root / "cache", root=root):
        held = {name: asked(root, name) for name in ("redis-server", "redis-server.service", "postgresql", "nginx")}
        assert held == {"redis-server": 101, "redis-server.service": 101, "postgresql": 101, "nginx": 0}
        assert asked(root, "postgresql@15-main.service") == 101
        assert "create_main_cluster = false" in (root / NO_MAIN_CLUSTER).read_text()
    assert not (root / POLICY).exists()
    assert not (root / NO_MAIN_CLUSTER).parent.exists()


def test_a_postgresql_that_was_there_before_keeps_its_habits(root: Path) -> None:
    with hold_back(["redis-server"], root / "cache", root=root):
        assert asked(root, "postgresql") == 0
        assert not (root / NO_MAIN_CLUSTER).exists()


def test_somebody_elses_policy_stays_as_it_is(root: Path) -> None:
    (root / POLICY).write_text("#!/bin/sh\nexit 101\n")
    with hold_back(["redis-server"], root / "cache", root=root):
        pass
    assert (root / POLICY).read_text() == "#!/bin/sh\nexit 101\n"


def test_an_interruption_removes_the_policy_and_leaves_a_note_for_the_next_run(root: Path) -> None:
    with pytest.raises(KeyboardInterrupt), hold_back(["redis-server"], root / "cache", root=root):
        raise KeyboardInterrupt
    assert not (root / POLICY).exists()
    assert unfinished(root / "cache") == ("redis-server",)


def test_a_policy_that_outlives_a_killed_set_up_holds_nothing_back(root: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    with hold_back(["redis-server"], root / "cache", root=root):
        own = (root / POLICY).read_text()
    killed = "\n".join(
        f"[ -d /proc/{ended.pid} ] || exit 0" if line.startswith("[") else line for line in own.splitlines()
    )
    (root / POLICY).write_text(killed + "\n")
    assert asked(root, "redis-server") == 0


def test_a_later_set_up_takes_over_the_services_of_one_that_was_killed(root: Path) -> None:
    cache = root / "cache"
    cache.mkdir()
    (cache / MARKER).write_text('{"services": ["redis-server"]}')
    with hold_back([], cache, root=root):
        assert asked(root, "redis-server") == 101
