"""The processor as the platform's process: started, serving, stopped, and refusing a queue that has to be recovered."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from orchestration.engines.processes import ProcessError
from orchestration.lifecycle import services
from orchestration.realtime.stream_keys import INCARNATION
from orchestration.settings import PROJECT_ROOT
from tests.integration.realtime.stream.stream_cell import StreamCell, drained, event, payloads, wait_for

NAME = services.STREAM_OF["na"]


def capstone(cell: StreamCell, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [Path(sys.executable).with_name("capstone"), *arguments],
        cwd=PROJECT_ROOT,
        env={"CAPSTONE_HOME": str(cell.settings.home), "CAPSTONE_PORT_BASE": str(cell.settings.port_base)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_service_that_was_started_works_is_small_and_ends_when_it_is_stopped(fresh: StreamCell) -> None:
    tenant = fresh.new_tenant()
    services.start(fresh.settings, (NAME,))
    try:
        fresh.queue().append(payloads([event(tenant) for _ in range(20)]))
        wait_for(lambda: fresh.counted(tenant) == 20, "the events")
        state = services.status(fresh.settings)[NAME]
        assert state is not None
        assert state.pid is not None
        process = psutil.Process(state.pid)
        assert process.memory_info().rss < 200 * 1024**2
        before = process.cpu_times()
        assert process.is_running()
        assert services.start(fresh.settings, (NAME,))[NAME].pid == state.pid
        # Waiting costs a request to Redis a second.
        wait_for(lambda: fresh.queue().state().depth == 0, "the queue to be empty")
        after = process.cpu_times()
        assert after.user + after.system - before.user - before.system < 1.0
    finally:
        services.stop(fresh.settings, (NAME,))
    assert not psutil.pid_exists(state.pid)
    assert services.status(fresh.settings)[NAME] is None
    log = (fresh.settings.logs / f"{NAME}.log").read_text()
    assert "processor started" in log
    assert "processor ended; stored and counted 20" in log
    assert str(tenant) not in log


def test_a_refused_service_does_not_start_and_the_command_line_brings_it_back(fresh: StreamCell) -> None:
    fresh.queue().client.delete(INCARNATION)
    with pytest.raises(ProcessError, match="capstone stream recover --cell na"):
        services.start(fresh.settings, (NAME,))
    run = capstone(fresh, "stream", "run", "--cell", "na")
    assert run.returncode == 1
    assert "capstone stream recover --cell na" in run.stderr
    assert capstone(fresh, "stream", "status", "--cell", "na").returncode == 1
    recovered = capstone(fresh, "stream", "recover", "--cell", "na", "--json")
    assert recovered.returncode == 0, recovered.stderr
    report = json.loads(recovered.stdout)
    assert report["cause"] == "its Redis was emptied"
    assert report["lost_from"] <= report["lost_to"]
    services.start(fresh.settings, (NAME,))
    services.stop(fresh.settings, (NAME,))
    assert "nothing to recover" in capstone(fresh, "stream", "recover", "--cell", "na").stdout


def test_dead_letters_are_listed_shown_replayed_and_given_up_by_command(fresh: StreamCell) -> None:
    fresh.queue().append([b"poison", b'{"event_id": 1}'])
    drained(fresh)
    listed = json.loads(capstone(fresh, "stream", "dead", "--cell", "na", "--json").stdout)
    assert [letter["reason"] for letter in listed] == ["not_json", "missing:tenant_id"]
    shown = capstone(fresh, "stream", "dead", "--cell", "na", "--show", listed[0]["letter"])
    assert shown.stdout == "poison\n"
    assert (
        "1 dead letters are in the queue"
        in capstone(fresh, "stream", "replay", "--cell", "na", "--reason", "missing").stdout
    )
    assert fresh.queue().state().depth == 1
    given_up = capstone(fresh, "stream", "dead", "--cell", "na", "--discard", "--all", "--yes")
    assert given_up.stdout == "1 dead letters given up\n"
    refused = capstone(fresh, "stream", "dead", "--cell", "na", "--discard")
    assert refused.returncode == 1
    assert "--reason, --tenant or --all" in refused.stderr
