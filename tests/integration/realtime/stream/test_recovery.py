"""A queue that is not what it was is noticed, refused, and comes back only through `capstone stream recover`."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from orchestration.realtime import recovery
from orchestration.realtime.processor import Processor
from orchestration.realtime.queue import QueueError
from orchestration.realtime.recovery import StreamDamagedError
from orchestration.realtime.stream_status import stream_status
from tests.integration.realtime.stream.stream_cell import CELL, StreamCell, drained, event, payloads


def newest_file(cell: StreamCell) -> Path:
    return max((cell.redis.data / "appendonlydir").glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)


def emptied(cell: StreamCell) -> None:
    cell.kill(cell.redis)
    for file in (cell.redis.data / "appendonlydir").iterdir():
        file.unlink()
    cell.start_redis()


def torn(cell: StreamCell) -> None:
    """Lose the last half of what the file has got since it was small."""
    cell.kill(cell.redis)
    file = newest_file(cell)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) - 3])
    cell.start_redis()


def cut_to(cell: StreamCell, size: int) -> None:
    """Lose what came after the file had this size: between two commands, so that no checker can tell it from whole."""
    cell.kill(cell.redis)
    with newest_file(cell).open("r+b") as file:
        file.truncate(size)
    cell.start_redis()


DAMAGES: dict[str, tuple[Callable[[StreamCell], None], str]] = {
    "emptied": (emptied, "was emptied"),
    "torn": (torn, "was torn"),
    "flushed": (lambda cell: cell.queue().client.flushall(), "was emptied"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_the_processor_refuses_a_damaged_queue_until_it_is_recovered(fresh: StreamCell, kind: str) -> None:
    damage, message = DAMAGES[kind]
    tenant = fresh.new_tenant()
    before, lost = [event(tenant) for _ in range(20)], [event(tenant) for _ in range(5)]
    fresh.queue().append(payloads(before))
    running = drained(fresh)
    fresh.queue().append(payloads(lost))
    damage(fresh)
    with pytest.raises(StreamDamagedError, match=f"{message}.*capstone stream recover --cell na"):
        Processor(CELL, fresh.settings).step(0.01)
    # Also one that was at work all the time, whatever its connection says first.
    with suppress(QueueError):
        running.step(0.01)
    with pytest.raises(StreamDamagedError):
        running.step(0.01)
    assert "capstone stream recover" in str(stream_status(CELL, fresh.settings).trouble)
    # Meanwhile events are accepted as ever.
    later = event(tenant)
    fresh.queue().append(payloads([later]))

    report = recovery.recover(CELL, fresh.settings)
    assert report is not None
    assert message in report.cause
    assert report.lost_from <= report.lost_to
    assert any("cannot be accounted for" in line for line in report.lines())

    drained(fresh)
    fresh.queue().append(payloads([*before, *lost, later]))
    drained(fresh)
    assert sorted(fresh.stored(tenant)) == sorted(each.event_id for each in [*before, *lost, later])
    assert fresh.counted(tenant) == 26
    assert recovery.recover(CELL, fresh.settings) is None
    assert stream_status(CELL, fresh.settings).trouble is None


def test_entries_that_a_whole_looking_file_has_lost_are_noticed_and_counted(fresh: StreamCell) -> None:
    tenant = fresh.new_tenant()
    queue = fresh.queue()
    queue.append(payloads([event(tenant)]))
    drained(fresh)
    queue.append(payloads([event(tenant)]))
    # The batch that is stored has seen the queue with the last two in it.
    fresh.rows(
        "insert into saas.tenant_fences (tenant_id, writes, reason) values (%s, true, 'it is being moved') returning 1",
        tenant,
    )
    other = fresh.new_tenant()
    kept = event(other)
    queue.append(payloads([kept]))
    size = newest_file(fresh).stat().st_size
    queue.append(payloads([event(tenant)]))
    drained(fresh)
    fresh.rows("delete from saas.tenant_fences where tenant_id = %s returning 1", tenant)
    assert fresh.counted(other) == 1
    cut_to(fresh, size)
    with pytest.raises(StreamDamagedError, match="lost the newest entries"):
        Processor(CELL, fresh.settings).step(0.01)
    report = recovery.recover(CELL, fresh.settings)
    assert report is not None
    assert report.known_lost == 1
    drained(fresh)
    # What was stored before the loss, and whose settlement is lost with the file, is counted once all the same.
    assert len(fresh.stored(other)) == fresh.counted(other) == 1
    assert len(fresh.stored(tenant)) == fresh.counted(tenant) == 2


def test_a_recovery_that_was_killed_leaves_the_stream_closed(
    fresh: StreamCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh.queue().client.flushall()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(recovery, "_open", killed)
        with pytest.raises(KeyboardInterrupt):
            recovery.recover(CELL, fresh.settings)
    with pytest.raises(StreamDamagedError):
        Processor(CELL, fresh.settings).step(0.01)
    assert recovery.recover(CELL, fresh.settings) is not None
    Processor(CELL, fresh.settings).step(0.01)


def test_a_clean_restart_of_redis_is_no_damage(fresh: StreamCell) -> None:
    tenant = fresh.new_tenant()
    fresh.queue().append(payloads([event(tenant)]))
    drained(fresh)
    fresh.queue().append(payloads([event(tenant)]))
    fresh.redis.stop(lambda _: None)
    fresh.start_redis()
    drained(fresh)
    assert len(fresh.stored(tenant)) == fresh.counted(tenant) == 2
