"""One process at a time changes a platform."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from orchestration.engines import locking
from orchestration.engines.errors import LockedError

HOLD = """
import sys
from pathlib import Path
from orchestration.engines import locking
with locking.hold(Path(sys.argv[1]), "capstone up"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def hold_elsewhere(home: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    with hold_elsewhere(tmp_path) as other:
        with pytest.raises(LockedError, match=rf"in use by `capstone up` \(pid {other.pid}, since 20"):
            hold_in_thread(tmp_path)
        other.kill()


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    with hold_elsewhere(tmp_path) as other:
        other.kill()
        other.wait()

    with locking.hold(tmp_path, "capstone up"):
        pass


def test_the_holder_may_take_it_again(tmp_path: Path) -> None:
    with locking.hold(tmp_path, "capstone up"):
        with locking.hold(tmp_path, "inner"):
            pass
        # Leaving the inner block has not let go of the outer one's lock.
        with pytest.raises(LockedError):
            hold_in_thread(tmp_path)


def test_another_thread_of_the_holder_is_refused(tmp_path: Path) -> None:
    with locking.hold(tmp_path, "capstone up"), pytest.raises(LockedError, match="another thread"):
        hold_in_thread(tmp_path)


def hold_in_thread(home: Path) -> None:
    caught: list[BaseException] = []

    def attempt() -> None:
        try:
            with locking.hold(home, "thread"):
                pass
        except LockedError as error:
            caught.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    if caught:
        raise caught[0]


def test_the_lock_is_free_after_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with locking.hold(tmp_path, "first"):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        fail()

    with locking.hold(tmp_path, "second"):
        assert '"second"' in (tmp_path / locking.LOCK_FILE).read_text()
