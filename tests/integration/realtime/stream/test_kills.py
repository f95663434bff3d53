"""Whatever is killed, and whenever: every event that was accepted is stored once and counted once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from orchestration.realtime.dead_letters import DeadLetters
from orchestration.settings import PROJECT_ROOT
from tests.integration.realtime.stream.stream_cell import WAIT_SECONDS, StreamCell, drained, event, payloads, wait_for

FOLDER = Path(__file__).parent


@contextmanager
def program(cell: StreamCell, name: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        [sys.executable, str(FOLDER / name), *arguments],
        cwd=PROJECT_ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(PROJECT_ROOT),
            "CAPSTONE_HOME": str(cell.settings.home),
            "CAPSTONE_PORT_BASE": str(cell.settings.port_base),
        },
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


@pytest.mark.parametrize("step", ["taken", "stored", "committed", "settled", "buried"])
def test_a_processor_killed_after_any_step_loses_and_doubles_nothing(fresh: StreamCell, step: str) -> None:
    tenant = fresh.new_tenant()
    events = [event(tenant) for _ in range(80)]
    fresh.queue().append([*payloads(events), b"poison", *payloads(events[:10])])
    with program(fresh, "dying_processor.py", step) as processor:
        assert processor.wait(WAIT_SECONDS) == -signal.SIGKILL
    drained(fresh)
    assert sorted(fresh.stored(tenant)) == sorted(each.event_id for each in events)
    assert fresh.counted(tenant) == 80
    assert dict(DeadLetters(fresh.queue()).reasons()) == {"not_json": 1}
    assert fresh.queue().state().depth == 0


def test_a_processor_that_is_told_to_stop_finishes_its_batch_and_ends_at_once(fresh: StreamCell) -> None:
    tenant = fresh.new_tenant()
    fresh.queue().append(payloads([event(tenant) for _ in range(300)]))
    with program(fresh, "dying_processor.py", "never") as processor:
        wait_for(lambda: fresh.counted(tenant) >= 100, "the first batch")
        processor.send_signal(signal.SIGTERM)
        assert processor.wait(10) == 0
    state = fresh.queue().state()
    assert state.pending == 0
    assert len(fresh.stored(tenant)) == fresh.counted(tenant) == 300 - state.depth


def test_producer_processor_postgres_and_redis_are_killed_in_a_counted_load(fresh: StreamCell, tmp_path: Path) -> None:
    tenant, count = fresh.new_tenant(), 2_400
    accepted = tmp_path / "accepted"
    arguments = (str(tenant), str(count), str(accepted), datetime.now(UTC).isoformat())

    def counted_at_least(number: int) -> Callable[[], bool]:
        def enough() -> bool:
            try:
                return fresh.counted(tenant) >= number
            except redis.RedisError:
                return False

        return enough

    with program(fresh, "counted_producer.py", *arguments), program(fresh, "dying_processor.py", "never"):
        wait_for(counted_at_least(200), "the first events")
    with program(fresh, "counted_producer.py", *arguments):
        for reached in (500, 800):
            with program(fresh, "dying_processor.py", "never"):
                wait_for(counted_at_least(reached), "the next events")
        with program(fresh, "dying_processor.py", "never"):
            fresh.kill(fresh.postgres)
            time.sleep(0.5)
            fresh.start_postgres()
            wait_for(counted_at_least(1_200), "events after PostgreSQL was killed")
            fresh.kill(fresh.redis)
            time.sleep(0.5)
            fresh.start_redis()
            wait_for(counted_at_least(1_600), "events after Redis was killed")
            fresh.kill(fresh.redis)
            fresh.kill(fresh.postgres)
            fresh.start_redis()
            fresh.start_postgres()
            wait_for(counted_at_least(count), "all events")
    wait_for(lambda: fresh.queue().state().depth == 0, "the queue to be empty")
    stored = fresh.stored(tenant)
    assert len(stored) == len(set(stored)) == count
    assert fresh.counted(tenant) == count
    assert fresh.queue().state().dead == 0
