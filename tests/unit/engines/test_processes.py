"""Background processes: started once, recognised for certain, ended with all that they have started."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from orchestration.engines import processes
from orchestration.engines.errors import PortTakenError
from orchestration.engines.processes import ProcessError, ProcessSpec
from orchestration.engines.server_process import is_alive, wait_until
from orchestration.settings import Settings

PATIENCE_SECONDS = 10.0

SLEEP = "import time; time.sleep(600)"

# Writes the ids of a child in its own group and of one in a session of its own, whose parent ends: a daemon.
FAMILY = """
import subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
near = subprocess.Popen(sleep, process_group=0)
orphan = f"import subprocess; print(subprocess.Popen({sleep!r}, start_new_session=True, stdout=-3).pid)"
far = subprocess.run([sys.executable, "-c", orphan], start_new_session=True, stdout=-1, text=True).stdout
open(sys.argv[1], "w").write(f"{near.pid} {far}")
time.sleep(600)
"""

STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").write("deaf")
time.sleep(600)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    settings = Settings(home=tmp_path)
    yield settings
    for status in processes.status(settings):
        processes.stop(status.name, settings, deadline_seconds=1)


def spec(settings: Settings, code: str, *arguments: str, ready: Callable[[int], bool] | None = None) -> ProcessSpec:
    return ProcessSpec(
        name="daemon",
        argv=[sys.executable, "-c", code, *arguments],
        log=settings.logs / "daemon.log",
        ready=ready,
        deadline_seconds=PATIENCE_SECONDS,
    )


def start_family(settings: Settings) -> tuple[int, list[int]]:
    note = settings.home / "family"
    status = processes.start(
        spec(settings, FAMILY, str(note), ready=lambda _: note.exists() and len(note.read_text().split()) == 2),
        settings,
    )
    assert status.pid is not None
    return status.pid, [int(pid) for pid in note.read_text().split()]


def test_a_start_waits_until_the_process_is_ready_and_a_second_changes_nothing(settings: Settings) -> None:
    note = settings.home / "note"
    code = f"import time; time.sleep(0.5); open({str(note)!r}, 'w').close(); time.sleep(600)"

    first = processes.start(spec(settings, code, ready=lambda _: note.exists()), settings)
    assert note.exists()
    second = processes.start(spec(settings, code, ready=lambda _: note.exists()), settings)

    assert first == second
    assert processes.status(settings) == [first]
    assert first.state == "running"


def test_variables_reach_the_process_and_output_its_log(settings: Settings) -> None:
    code = "import os, time; print(os.environ['CAPSTONE_MARK'], flush=True); time.sleep(600)"
    log = settings.logs / "daemon.log"

    processes.start(replace(spec(settings, code), env={"CAPSTONE_MARK": "seen"}), settings)

    assert wait_until(lambda: log.read_text() == "seen\n", PATIENCE_SECONDS)


def test_a_process_that_exits_is_an_error_with_the_end_of_its_log(settings: Settings) -> None:
    with pytest.raises(ProcessError, match=r"(?s)daemon exited; the end of .*daemon\.log:.*no such option"):
        processes.start(spec(settings, "raise SystemExit('no such option')", ready=lambda _: False), settings)

    assert processes.status(settings) == []


def test_a_program_that_does_not_exist_is_an_error(settings: Settings) -> None:
    with pytest.raises(ProcessError, match="/nowhere/dagster does not exist"):
        processes.start(replace(spec(settings, ""), argv=["/nowhere/dagster"]), settings)

    assert processes.status(settings) == []


def test_a_process_that_never_gets_ready_is_ended(settings: Settings) -> None:
    note = settings.home / "pid"
    code = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(600)"

    with pytest.raises(ProcessError, match="was not ready after 1 s"):
        processes.start(replace(spec(settings, code, ready=lambda _: False), deadline_seconds=1), settings)

    assert not is_alive(int(note.read_text()))


def test_a_taken_port_is_an_error_before_anything_starts(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PORT_RELEASE_SECONDS", 0.1)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port} of daemon is taken by .*pid {os.getpid()}"):
            processes.start(replace(spec(settings, SLEEP), port=port), settings)

    assert processes.status(settings) == []


def test_stop_leaves_no_child_not_even_one_in_another_session(settings: Settings) -> None:
    leader, children = start_family(settings)

    processes.stop("daemon", settings)

    assert not [pid for pid in (leader, *children) if is_alive(pid)]
    assert processes.status(settings) == []


def test_a_killed_process_is_reported_dead_and_its_children_go_when_it_is_revived(settings: Settings) -> None:
    leader, children = start_family(settings)
    os.kill(leader, signal.SIGKILL)

    assert wait_until(lambda: processes.status(settings)[0].state == "dead", PATIENCE_SECONDS)
    revived = processes.start(spec(settings, SLEEP), settings)

    assert revived.state == "running"
    assert revived.pid not in (leader, None)
    assert not [pid for pid in children if is_alive(pid)]


def test_a_process_that_ignores_the_request_is_killed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    note = settings.home / "deaf"
    status = processes.start(spec(settings, STUBBORN, str(note), ready=lambda _: note.exists()), settings)
    assert status.pid is not None

    monkeypatch.setattr(processes, "KILL_SECONDS", 0.2)
    processes.stop("daemon", settings, deadline_seconds=0.2)

    assert not is_alive(status.pid)


def test_a_recycled_process_id_is_not_killed(settings: Settings) -> None:
    status = processes.start(spec(settings, SLEEP), settings)
    processes.stop("daemon", settings)
    with subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True) as innocent:
        record = (
            f'{{"name": "daemon", "pid": {innocent.pid}, "create_time": {psutil.Process().create_time() - 3600}, '
            f'"token": "of the dead", "log": "{status.log}"}}'
        )
        (settings.home / "run" / "daemon.json").write_text(record)

        assert processes.status(settings)[0].state == "dead"
        processes.stop("daemon", settings)

        assert innocent.poll() is None
        innocent.kill()
    assert processes.status(settings) == []


def test_stop_of_what_was_never_started_does_nothing(settings: Settings) -> None:
    processes.stop("daemon", settings)


def test_an_oversized_log_is_put_aside(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LOG_BYTES", 10)
    settings.logs.mkdir()
    (settings.logs / "daemon.log").write_text("older than today")

    processes.start(spec(settings, SLEEP), settings)

    assert (settings.logs / "daemon.previous").read_text() == "older than today"
    assert (settings.logs / "daemon.log").read_text() == ""


MANY_THREADS = """
import os, sys, threading
for _ in range(40):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
open(sys.argv[1], "w").close()
threading.Event().wait()
"""


def test_of_a_process_that_was_stopped_not_even_the_id_is_left(settings: Settings) -> None:
    # A thread that ends after the first leaves a zombie that cannot be collected yet.
    note = settings.home / "note"
    for _ in range(5):
        note.unlink(missing_ok=True)
        status = processes.start(spec(settings, MANY_THREADS, str(note), ready=lambda _: note.exists()), settings)
        processes.stop("daemon", settings)
        assert status.pid is not None
        assert not psutil.pid_exists(status.pid)
