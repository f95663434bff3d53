"""In whose name the servers run: one user, however many start at once, and whoever owns the data that are there."""

import os
import pwd
import subprocess
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from uuid import uuid4

import pytest

from orchestration.engines import server_user
from orchestration.settings import Settings

# Nobody's on any distribution.
STRANGER = 64_321


@pytest.fixture
def new_user() -> Iterator[str]:
    name = f"cap{uuid4().hex[:8]}"
    yield name
    if os.geteuid() == 0:
        subprocess.run(
            ["userdel", name], check=True, capture_output=True, env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}
        )


def resolved(home: Path, name: str) -> tuple[str, int, int]:
    user = server_user.resolve(Settings(home=home, os_user=name))
    return user.name, user.uid, user.gid


def test_first_starts_at_the_same_moment_agree_on_one_user(tmp_path: Path, new_user: str) -> None:
    if os.geteuid() != 0:
        assert resolved(tmp_path, new_user)[1] == os.geteuid()
        return
    with ProcessPoolExecutor(6, mp_context=get_context("spawn")) as pool:
        found = set(pool.map(resolved, [tmp_path] * 6, [new_user] * 6))
    entry = pwd.getpwnam(new_user)
    assert found == {(new_user, entry.pw_uid, entry.pw_gid)}


def test_data_of_a_user_that_was_removed_can_still_be_handled(tmp_path: Path) -> None:
    data = tmp_path / "postgres" / "na" / "data"
    data.mkdir(parents=True)
    if os.geteuid() != 0:
        assert resolved(tmp_path, "capstone")[1] == os.geteuid()
        return
    os.chown(data, STRANGER, STRANGER)
    assert resolved(tmp_path, "capstone") == (str(STRANGER), STRANGER, STRANGER)
