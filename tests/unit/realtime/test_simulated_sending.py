"""Live traffic is sent when it happens, waits when the queue is full, and loses nothing by it."""

import threading
import time
from collections.abc import Iterator, Sequence
from itertools import count, pairwise
from threading import Event
from typing import Any
from uuid import uuid4

from orchestration.realtime.event import decode
from orchestration.realtime.queue import QueueFullError, QueueUnavailableError
from orchestration.realtime.simulation import send
from orchestration.synthetic.live_traffic import LiveEvent

ROW = {
    "tenant_id": uuid4().bytes,
    "user_id": 3,
    "event_type": "page_view",
    "page_url": "https://shop.example.com/",
    "referrer": None,
    "properties": '{"load_ms":120}',
    "device_type": "mobile",
    "country": "US",
}


def steady(rate: float) -> Iterator[LiveEvent]:
    for number in count():
        yield LiveEvent(number / rate, number / rate, uuid4(), uuid4(), ROW)


class FakeQueue:
    """Takes everything, but for the calls it is told to fail."""

    def __init__(self, *failures: Exception | None) -> None:
        self.failures = list(failures)
        self.payloads: list[bytes] = []
        self.tried: list[bytes] = []

    def append(self, payloads: Sequence[bytes]) -> list[str]:
        self.tried += payloads
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        self.payloads += payloads
        return ["1-1"] * len(payloads)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"traffic needs no {name}")


def test_it_comes_at_its_rate_each_event_with_its_own_time() -> None:
    queue = FakeQueue()
    done = send(steady(500.0), queue, stop=Event(), seconds=1.0)
    # Nothing is sent ahead of its time; how much later depends on the machine.
    assert 300 <= done.events == len(queue.payloads) <= 501
    times = [decode(payload).time for payload in queue.payloads]
    gaps = {round((b - a).total_seconds(), 3) for a, b in pairwise(times)}
    assert gaps == {0.002} or done.held_up > 0


def test_a_full_queue_is_waited_for_and_nothing_is_lost_or_sent_in_a_burst() -> None:
    queue = FakeQueue(None, QueueFullError("full"), QueueFullError("full"), None)
    said: list[str] = []
    done = send(steady(500.0), queue, stop=Event(), seconds=1.2, say=said.append)
    assert (done.refused, said) == (2, ["full"])
    assert done.held_up >= 0.4
    assert done.events == len(queue.payloads) <= 500 * (1.2 - 0.4) + 1
    ids = [decode(payload).event_id for payload in queue.payloads]
    assert len(ids) == len(set(ids))
    assert {decode(payload).event_id for payload in queue.tried} == set(ids)


def test_what_was_sent_without_an_answer_is_sent_again_as_the_same_events() -> None:
    queue = FakeQueue(QueueUnavailableError("gone"))
    send(steady(200.0), queue, stop=Event(), seconds=0.5)
    again = [decode(payload).event_id for payload in queue.tried]
    assert set(again) == {decode(payload).event_id for payload in queue.payloads}
    assert len(again) > len(set(again))


def test_it_ends_soon_when_it_is_stopped_also_while_it_waits() -> None:
    for queue in (FakeQueue(), FakeQueue(*[QueueFullError("full")] * 10_000)):
        stop = Event()
        threading.Timer(0.2, stop.set).start()
        started = time.monotonic()
        send(steady(100.0), queue, stop=stop)
        assert time.monotonic() - started < 5
