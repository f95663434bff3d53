"""How fast live events are counted, against the brief's own way, and how fast they get through the whole stream.

In a scratch database of the running cell and a Redis of its own, configured as a cell's is: what is accepted is on disk
before it is answered, for the brief's commands as for ours. Counting is measured in turns that rotate; the median
counts.

1. Counting: the brief's five commands for each event, one by one, as its function sends them (a transaction per event),
   and 1,000 events to a pipeline; against the script that acknowledges, deletes and counts 1,000 entries of the queue.
   Its time includes what the brief's does not do; entries are appended and taken before.
2. The stream: a full queue through the processor into hypertable and counters, with the share of each step.
3. Waiting: events sent at half that rate, from the moment the queue has accepted one to the moment the counters show
   it, beside a processor in a process of its own.
"""

import os
import signal
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

import redis
from pydantic import SecretStr

from orchestration.bench.load import versions
from orchestration.bench.report import BenchReport, BenchResult, compared, this_machine
from orchestration.bench.scratch_database import scratch_database
from orchestration.cells import endpoints, routing
from orchestration.cells.regions import Cell
from orchestration.engines import home, ports, server_user
from orchestration.engines.binaries import find_redis
from orchestration.engines.redis_server import RedisServer
from orchestration.loading.window import ScaleSize
from orchestration.realtime import counter_keys
from orchestration.realtime.counters import Counters
from orchestration.realtime.event import StreamEvent, encode
from orchestration.realtime.processor import Processor
from orchestration.realtime.redis_queue import MAX_APPENDED, RedisQueue
from orchestration.realtime.simulation import as_event
from orchestration.realtime.stream_keys import GROUP, STREAM
from orchestration.settings import Settings, get_settings, temporary_home
from orchestration.synthetic.live_traffic import live_traffic, sessions_of_day

BENCH_CELL: Cell = "na"
DATABASE = "capstone_bench_realtime"

ROUNDS = 3
# Of each way of counting in each round; slow ones need fewer.
SINGLE_EVENTS, BRIEF_EVENTS, PIPELINE_EVENTS, SETTLED_EVENTS = 300, 1_000, 10_000, 40_000
BATCH = 1_000
STREAM_EVENTS = 60_000
WAITING_SECONDS = 15.0

ROUND_TRIPS_GOAL = 100.0
PIPELINE_GOAL = 7.0
WAITING_GOAL_SECONDS = 1.0

_SIZE = ScaleSize(tenants=50, days=2, events=60_000)
_TICK_SECONDS = 0.01
_START_SECONDS = 60.0

_PROCESSOR = """
import signal
from threading import Event
from orchestration.realtime.processor import Processor
stop = Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
signal.signal(signal.SIGINT, signal.SIG_IGN)
Processor("na").run(stop)
"""


class RealtimeBenchError(RuntimeError):
    """The benchmark cannot run; the message says why and the way out."""


@contextmanager
def _redis(settings: Settings) -> Iterator[Settings]:
    """Yield settings whose cell has a Redis of its own, in a temporary home."""
    own = Settings(home=temporary_home(), os_user=settings.os_user)
    home.prepare(own)
    port = ports.next_free_block(range(28_000, 32_000, 10))
    if port is None:
        raise RealtimeBenchError("no free port between 28000 and 32000: end what listens there")
    password = uuid4().hex
    server = RedisServer(BENCH_CELL, own, server_user.resolve(own), port)
    try:
        server.start(find_redis(), password, lambda _: None)
        url = SecretStr(f"redis://:{password}@127.0.0.1:{port}/0")
        yield settings.model_copy(update={f"redis_url_{BENCH_CELL}": url})
    finally:
        server.stop(lambda _: None)
        home.remove(own)


def _tenants(scratch: Settings, tenants: list[UUID]) -> None:
    with routing.connect(BENCH_CELL, "superuser", autocommit=True, settings=scratch) as connection:
        connection.execute("insert into saas.plans (plan, name, monthly_price) values ('free', 'Free', 0)")
        for number, tenant in enumerate(tenants):
            connection.execute(
                "insert into saas.tenants (id, name, subdomain) values (%s, %s, %s)",
                (tenant, f"Bench {number}", f"bench-{number}"),
            )


class _Traffic:
    """Events of the shops' sessions, as many as are asked for."""

    def __init__(self, seed: int) -> None:
        day = datetime.now(UTC).date()
        sessions = sessions_of_day(BENCH_CELL, day, size=_SIZE, seed=seed, first_day=day - timedelta(days=1))
        if sessions is None:
            raise RealtimeBenchError("the generator made no session")
        self.tenants = sorted({UUID(bytes=row["tenant_id"]) for row in sessions.rows})
        self._traffic = live_traffic(sessions, 1_000.0, seed)

    def events(self, count: int, at: datetime | None = None) -> list[StreamEvent]:
        """Return events of the last minute, or of ``at``."""
        now = at or datetime.now(UTC)
        live = list(islice(self._traffic, count))
        return [as_event(each, now - timedelta(seconds=each.happens + number % 60)) for number, each in enumerate(live)]


def _brief(pipe: Any, event: StreamEvent, now: datetime) -> None:
    """Send the brief's five commands, corrected in nothing."""
    minute_bucket = now.strftime("%Y%m%d%H%M")
    event_type, user_id = event.event_type, event.user_id or 0
    pipe.incr(f"events:{event_type}:total")
    pipe.incr(f"events:{event_type}:minute:{minute_bucket}")
    pipe.expire(f"events:{event_type}:minute:{minute_bucket}", 3600)
    pipe.pfadd(f"events:{event_type}:users:{minute_bucket}", user_id)
    pipe.xadd("stream:brief", {"type": event_type, "user": user_id}, maxlen=10_000)


class _Counting:
    """The ways of counting, on one Redis."""

    def __init__(self, scratch: Settings, traffic: _Traffic) -> None:
        self.queue = RedisQueue.of_cell(BENCH_CELL, scratch)
        self.queue.set_up()
        self.client = self.queue.client
        self.plain = redis.Redis.from_url(endpoints.redis_url(BENCH_CELL, scratch), decode_responses=True)
        self.counters = Counters(self.client)
        self.events = traffic.events(SETTLED_EVENTS)

    def close(self) -> None:
        self.client.delete(STREAM)
        self.client.close()
        self.plain.close()

    def one_by_one(self) -> float:
        started = time.perf_counter()
        for event in self.events[:SINGLE_EVENTS]:
            _brief(self.plain, event, datetime.now(UTC))
        return SINGLE_EVENTS / (time.perf_counter() - started)

    def as_written(self) -> float:
        started = time.perf_counter()
        for event in self.events[:BRIEF_EVENTS]:
            pipe = self.plain.pipeline()
            _brief(pipe, event, datetime.now(UTC))
            pipe.execute()
        return BRIEF_EVENTS / (time.perf_counter() - started)

    def pipelines(self) -> float:
        started = time.perf_counter()
        for start in range(0, PIPELINE_EVENTS, BATCH):
            pipe = self.plain.pipeline()
            for event in self.events[start : start + BATCH]:
                _brief(pipe, event, datetime.now(UTC))
            pipe.execute()
        return PIPELINE_EVENTS / (time.perf_counter() - started)

    def settled(self) -> float:
        spent = 0.0
        for start in range(0, SETTLED_EVENTS, BATCH):
            events = self.events[start : start + BATCH]
            self.queue.append([b"{}"] * len(events))
            entries = self.client.xreadgroup(GROUP, "bench", {STREAM: ">"}, count=len(events))[0][1]
            batch = [(position.decode(), event) for (position, _), event in zip(entries, events, strict=True)]
            started = time.perf_counter()
            done = self.counters.settle(batch)
            spent += time.perf_counter() - started
            if done != len(events):
                raise RealtimeBenchError(f"{done} of {len(events)} entries were settled")
        return SETTLED_EVENTS / spent


def _rotated(turns: tuple[Callable[[], float], ...], rounds: int) -> dict[str, float]:
    speeds: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        for place in range(len(turns)):
            turn = turns[(place + number) % len(turns)]
            speeds[turn.__name__].append(turn())
    return {name: statistics.median(values) for name, values in speeds.items()}


@dataclass(frozen=True)
class _Throughput:
    accepted: float
    processed: float
    shares: dict[str, float]


def _through(scratch: Settings, traffic: _Traffic) -> _Throughput:
    """Return events per second into the queue and out of it, and the processor's time by step, as fractions."""
    payloads = [encode(event) for event in traffic.events(STREAM_EVENTS)]
    spent: dict[str, float] = defaultdict(float)
    last = 0.0

    def at_step(step: str) -> None:
        nonlocal last
        now = time.perf_counter()
        spent[step] += now - last
        last = now

    queue = RedisQueue.of_cell(BENCH_CELL, scratch)
    processor = Processor(BENCH_CELL, scratch, at_step=at_step)
    processor.step(0.01)
    started = time.perf_counter()
    for start in range(0, len(payloads), MAX_APPENDED):
        queue.append(payloads[start : start + MAX_APPENDED])
    accepted = len(payloads) / (time.perf_counter() - started)
    spent.clear()
    started = last = time.perf_counter()
    while queue.state().depth:
        last = time.perf_counter()
        processor.step(0.01)
    seconds = time.perf_counter() - started
    processor._forget_connections()
    queue.client.close()
    whole = sum(spent.values())
    return _Throughput(accepted, len(payloads) / seconds, {step: each / whole for step, each in spent.items()})


def _await(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RealtimeBenchError(f"{what} in {_START_SECONDS:.0f} s")
        time.sleep(0.05)


@contextmanager
def _processor(scratch: Settings) -> Iterator[None]:
    environment = {
        **os.environ,
        "CAPSTONE_HOME": str(scratch.home),
        f"CAPSTONE_DSN_{BENCH_CELL.upper()}": endpoints.dsn(BENCH_CELL, "superuser", settings=scratch),
        f"CAPSTONE_REDIS_URL_{BENCH_CELL.upper()}": endpoints.redis_url(BENCH_CELL, scratch),
    }
    process = subprocess.Popen([sys.executable, "-c", _PROCESSOR], env=environment)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _waiting(scratch: Settings, traffic: _Traffic, rate: float) -> list[float]:
    """Return seconds from accepted to visible, of every event of the busiest tenant, ascending."""
    queue = RedisQueue.of_cell(BENCH_CELL, scratch)
    events = traffic.events(int(rate * WAITING_SECONDS))
    busiest = max(traffic.tenants, key=lambda tenant: sum(event.tenant_id == tenant for event in events))
    payloads = [(encode(event), event.tenant_id == busiest) for event in events]
    key = counter_keys.totals(busiest)

    def visible() -> int:
        return sum(map(int, queue.client.hvals(key)))

    with _processor(scratch):
        warm = traffic.events(1_000)
        queue.append([encode(event) for event in warm])
        _await(lambda: queue.state().depth == 0, "the processor does not begin")
        before = visible()
        accepted: list[float] = []
        waited: list[float] = []
        sent = 0
        started = time.perf_counter()
        while len(waited) < len(accepted) or sent < len(payloads):
            due = min(int((time.perf_counter() - started) * rate), len(payloads), sent + MAX_APPENDED)
            if due > sent:
                queue.append([payload for payload, _ in payloads[sent:due]])
                now = time.perf_counter()
                accepted += [now] * sum(probe for _, probe in payloads[sent:due])
                sent = due
            shown = visible() - before
            now = time.perf_counter()
            waited += [now - moment for moment in accepted[len(waited) : shown]]
            if now - started > WAITING_SECONDS + _START_SECONDS:
                raise RealtimeBenchError(f"{len(accepted) - len(waited)} events do not show in the counters")
            time.sleep(_TICK_SECONDS / 4)
    queue.client.close()
    return sorted(waited)


def _stated(name: str, value: float, unit: str) -> BenchResult:
    """Return a number that is to be stated, without a goal."""
    return BenchResult(name, round(value, 6), unit, None, None, 0.0, met=True)


_STEPS = {
    "taken": "taking from the queue",
    "stored": "decoding and inserting",
    "committed": "committing",
    "settled": "settling and counting",
    "buried": "dead letters",
}


def run(settings: Settings | None = None, *, rounds: int = ROUNDS) -> BenchReport:
    """Measure counters and stream beside the running platform's cell ``na``.

    Raises:
        RealtimeBenchError: something does not start, or loses events.
        ScratchDatabaseError: the scratch database cannot be made.
        CellUnavailableError: the cell cannot be reached.
    """
    settings = settings or get_settings()
    traffic = _Traffic(settings.seed)
    with scratch_database(BENCH_CELL, settings, DATABASE) as database, _redis(database) as scratch:
        _tenants(scratch, traffic.tenants)
        counting = _Counting(scratch, traffic)
        speeds = _rotated((counting.one_by_one, counting.as_written, counting.pipelines, counting.settled), rounds)
        counting.close()
        flows = [_through(scratch, traffic) for _ in range(rounds)]
        flow = sorted(flows, key=lambda each: each.processed)[rounds // 2]
        half = flow.processed / 2
        waited = _waiting(scratch, traffic, half)
        with routing.connect(BENCH_CELL, "superuser", settings=scratch) as connection:
            machine = this_machine(*versions(connection))
    settled = speeds["settled"]
    p99 = waited[int(len(waited) * 0.99)]
    return BenchReport(
        bench="realtime",
        machine=machine,
        results=(
            compared(
                "counting, against the brief's commands one by one", settled, "events/s",
                baseline=speeds["one_by_one"], goal=ROUND_TRIPS_GOAL,
            ),
            compared(
                "counting, against the brief's function as written", settled, "events/s",
                baseline=speeds["as_written"], goal=ROUND_TRIPS_GOAL,
            ),
            compared(
                "counting, against the brief's in pipelines of 1,000", settled, "events/s",
                baseline=speeds["pipelines"], goal=PIPELINE_GOAL,
            ),
            _stated("accepted into the queue", flow.accepted, "events/s"),
            _stated("queue to hypertable and counters", flow.processed, "events/s"),
            *(_stated(f"of that, {_STEPS.get(step, step)}", share, "share") for step, share in flow.shares.items()),
            _stated("events sent for the wait, half of that", half, "events/s"),
            _stated("from accepted to counted, median", waited[len(waited) // 2], "s"),
            BenchResult(
                "from accepted to counted, p99", round(p99, 4), "s", None, None, WAITING_GOAL_SECONDS,
                p99 < WAITING_GOAL_SECONDS,
            ),
        ),
    )  # fmt: skip
