"""What a caller is told when servers die, connections are cut and transactions meet: never more than is known."""

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from pydantic import SecretStr

from orchestration.cells import endpoints
from orchestration.cells.cell_pools import CellBusyError
from orchestration.cells.outcome import (
    Connection,
    ConnectionLostError,
    ContentionError,
    TransactionEndedError,
    UnknownOutcomeError,
)
from orchestration.cells.postgres_cells import PostgresCells
from orchestration.cells.region_choice import Subject
from orchestration.cells.retries import Retries
from orchestration.cells.routing import CellUnavailableError
from tests.integration.cells.routing.conftest import LIMITS, Region, Running, wait_for

NA, EU = Subject(region="na"), Subject(region="eu")


def backend(connection: Connection) -> int:
    row = connection.execute("select pg_backend_pid()").fetchone()
    assert row
    return int(row[0])


def server(connection: Connection) -> str:
    row = connection.execute("select current_setting('port')").fetchone()
    assert row
    return str(row[0])


def adds(person: UUID, cell: str = "na") -> Any:
    """A work that stores a person; each call would store another row for the same id, so twice is an error."""

    def work(connection: Connection) -> None:
        connection.execute(
            "insert into geo.users (id, email, region) values (%s, 'x@people.example', %s)", (person, cell)
        )

    return work


def stored(region: Region, person: UUID) -> bool:
    return region.profile("na", person) is not None


def is_stored(person: UUID) -> Any:
    def evidence(connection: Connection) -> bool:
        return connection.execute("select from geo.users where id = %s", [person]).fetchone() is not None

    return evidence


# A cell that is down.


def test_a_cell_that_is_down_is_named_within_the_stated_time_and_the_others_go_on(
    cells: PostgresCells, region: Region
) -> None:
    cells.read(NA, backend)
    region.kill("na")
    for subject in (NA, Subject(headers={"X-Region": "na"}), Subject(tenant="shop-na"), Subject(person=uuid4())):
        started = time.monotonic()
        with pytest.raises(CellUnavailableError, match="na"):
            cells.read(subject, backend)
        assert time.monotonic() - started < 2 * LIMITS.wait + region.settings.connect_timeout_seconds
    # What asks for the dead cell as often as it can takes nothing from those who ask for another.
    crowd = [Running(lambda: cells.read(NA, backend)) for _ in range(30)]
    started = time.monotonic()
    for subject in (EU, Subject(tenant="shop-eu")):
        for _ in range(20):
            cells.read(subject, backend)
    assert time.monotonic() - started < LIMITS.wait
    assert all(isinstance(each.ended().error, CellUnavailableError) for each in crowd)
    region.revive()
    wait_for(lambda: Running(lambda: cells.read(NA, backend)).ended().error is None)
    wait_for(lambda: Running(lambda: cells.read(Subject(tenant="shop-na"), backend)).ended().error is None)


def test_people_of_other_cells_are_found_while_one_is_down(cells: PostgresCells, region: Region) -> None:
    person = region.new_person("eu")
    region.kill("na")
    theirs = cells.read(EU, server)
    assert cells.read(Subject(person=person), server) == theirs
    assert cells.write(Subject(person=person, tenant="shop-eu"), server) == theirs


def test_a_server_that_restarted_between_two_statements_costs_the_next_request_nothing(
    cells: PostgresCells, region: Region
) -> None:
    def many() -> list[Running]:
        return [Running(lambda: cells.read(NA, lambda c: c.execute("select pg_sleep(0.2)"))) for _ in range(4)]

    for each in many():
        assert each.ended().error is None
    region.crash("na", Running(lambda: cells.read(NA, backend)).ended().result)
    person = uuid4()
    cells.write(NA, adds(person))
    assert stored(region, person)
    for each in many():
        assert each.ended().error is None


def test_a_server_that_hangs_is_given_up(region: Region) -> None:
    limits = type(LIMITS)(size=2, wait=1.0, statement=1.0)
    settings = region.settings.model_copy(update={"connect_timeout_seconds": 2})
    with PostgresCells(settings, limits=limits, metered=False) as cells:
        pid = cells.read(NA, backend)
        os.kill(pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            # The one connection that hangs is thrown away; another is opened and answers.
            assert cells.read(NA, backend) != pid
            assert time.monotonic() - started < 10
        finally:
            os.kill(pid, signal.SIGCONT)


def test_all_connections_in_use_is_an_error_of_its_own_and_other_cells_are_not_concerned(
    cells: PostgresCells,
) -> None:
    ended = threading.Event()
    holders = [Running(lambda: cells.read(NA, lambda _: ended.wait(30))) for _ in range(LIMITS.size)]
    try:
        wait_for(lambda: Running(lambda: cells.read(NA, backend)).ended().error is not None)
        with pytest.raises(CellBusyError, match="cell 'na'"):
            cells.read(NA, backend)
        cells.read(EU, backend)
        # Writers of the same cell have a pool of their own.
        cells.write(NA, backend)
    finally:
        ended.set()
    for each in holders:
        assert each.ended().error is None
    cells.read(NA, backend)


def test_a_tenants_crowd_is_told_from_a_dead_cell(cells: PostgresCells) -> None:
    ended = threading.Event()
    tenants = Subject(tenant="shop-na")
    cells.read(tenants, backend)
    # A tenant may have half of the pool: the rest waits for its share.
    holders = [Running(lambda: cells.read(tenants, lambda _: ended.wait(30))) for _ in range(LIMITS.size)]
    try:
        time_out = Running(lambda: cells.read(tenants, backend)).ended()
    finally:
        ended.set()
    assert "share" in str(time_out.error)
    for each in holders:
        each.ended()


def test_the_database_of_another_cell_at_a_cells_address_is_refused(region: Region) -> None:
    wrong = SecretStr(endpoints.dsn("eu", "superuser", settings=region.settings))
    settings = region.settings.model_copy(update={"dsn_na": wrong})
    person = uuid4()
    # By the wrong address the tenant of eu would be found in na.
    for subject in (NA, Subject(tenant="shop-eu")):
        with (
            PostgresCells(settings, limits=LIMITS, metered=False) as cells,
            pytest.raises(CellUnavailableError, match="cell 'eu'"),
        ):
            cells.write(subject, adds(person))
    assert region.profile("eu", person) is None


# Lost before COMMIT.


def test_a_connection_lost_amid_the_work_is_a_roll_back_and_not_repeated_unless_it_may_be(
    cells: PostgresCells, region: Region
) -> None:
    person, calls = uuid4(), []

    def work(connection: Connection) -> None:
        adds(person)(connection)
        calls.append(backend(connection))
        if len(calls) < 3:
            region.crash("na", calls[-1])
            connection.execute("select 1")

    with pytest.raises(ConnectionLostError, match="rolled back"):
        cells.write(NA, work)
    assert len(calls) == 1
    assert not stored(region, person)
    cells.write(NA, work, repeatable=True)
    assert len(calls) == 3
    assert stored(region, person)


def test_a_read_that_was_cut_off_is_read_again(cells: PostgresCells, region: Region) -> None:
    calls: list[int] = []

    def work(connection: Connection) -> int:
        calls.append(backend(connection))
        if len(calls) == 1:
            region.crash("na", calls[0])
        return backend(connection)

    assert cells.read(NA, work) == calls[1]
    calls.clear()
    assert cells.read(Subject(tenant="shop-na"), work) == calls[1]


# Transactions that meet.


def conflicting(region: Region, person: UUID, met: list[int], times: int) -> Any:
    """A serializable work that somebody else's commit makes fail, the first so many times."""

    def work(connection: Connection) -> None:
        connection.execute("select profile from geo.users where id = %s", [person]).fetchone()
        if len(met) < times:
            met.append(1)
            with region.connect("na") as other:
                other.execute("update geo.users set email = 'y@people.example' where id = %s", [person])
        connection.execute("update geo.users set profile = '{\"n\": 1}' where id = %s", [person])

    return work


def test_a_serialization_failure_is_repeated_as_a_whole_if_that_was_allowed(
    cells: PostgresCells, region: Region
) -> None:
    person = region.new_person("na")
    met: list[int] = []
    with pytest.raises(ContentionError, match="SerializationFailure"):
        cells.write(NA, conflicting(region, person, met, 1), serializable=True)
    assert region.profile("na", person) == {}
    met.clear()
    cells.write(NA, conflicting(region, person, met, 3), serializable=True, repeatable=True)
    assert (len(met), region.profile("na", person)) == (3, {"n": 1})
    # The next borrower of that connection is READ COMMITTED again.
    level = cells.write(NA, lambda c: c.execute("show transaction_isolation").fetchone())
    assert level == ("read committed",)


def test_repetitions_are_bounded(region: Region) -> None:
    person = region.new_person("na")
    met: list[int] = []
    with (
        PostgresCells(region.settings, limits=LIMITS, retries=Retries(3, 0.001, 0.01), metered=False) as cells,
        pytest.raises(ContentionError),
    ):
        cells.write(NA, conflicting(region, person, met, 99), serializable=True, repeatable=True)
    assert len(met) == 3


def test_a_deadlock_is_repeated(cells: PostgresCells, region: Region) -> None:
    first, second = region.new_person("na"), region.new_person("na")
    barrier = threading.Barrier(2)
    calls: list[int] = []

    def crossing(one: UUID, other: UUID) -> Any:
        def work(connection: Connection) -> None:
            calls.append(1)
            connection.execute("select from geo.users where id = %s for update", [one])
            if len(calls) <= 2:
                barrier.wait(10)
            connection.execute("select from geo.users where id = %s for update", [other])

        return lambda: cells.write(NA, work, repeatable=True)

    both = [Running(crossing(first, second)), Running(crossing(second, first))]
    assert [each.ended().error for each in both] == [None, None]
    assert len(calls) == 3


# Lost during COMMIT, or after it.


@contextmanager
def slow_commit(region: Region) -> Iterator[None]:
    """A COMMIT takes until somebody ends it: a deferred trigger sleeps."""
    with region.connect("na", "superuser") as superuser:
        # These servers write later what they say is committed, and this one is about to be killed.
        superuser.execute("set synchronous_commit = on")
        superuser.execute(
            "create function public.sleeps() returns trigger language plpgsql as "
            "'begin perform pg_sleep(30); return null; end'"
        )
        superuser.execute(
            "create constraint trigger sleeps after insert on geo.users deferrable initially deferred "
            "for each row execute function public.sleeps()"
        )
    try:
        yield
    finally:
        with region.connect("na", "superuser") as superuser:
            superuser.execute("drop function public.sleeps() cascade")


def committing(region: Region) -> int | None:
    with region.connect("na", "superuser") as superuser:
        found = superuser.execute(
            "select pid from pg_stat_activity where query ilike 'commit%' and state = 'active'"
        ).fetchone()
    return None if found is None else int(found[0])


def test_a_server_killed_during_commit_leaves_the_outcome_unknown_and_it_is_found_out(
    cells: PostgresCells, region: Region
) -> None:
    person = uuid4()
    with slow_commit(region):
        writing = Running(lambda: cells.write(NA, adds(person), repeatable=True))
        wait_for(lambda: committing(region) is not None)
        pid = committing(region)
        assert pid
        region.crash("na", pid)
        error = writing.ended().error
    assert isinstance(error, UnknownOutcomeError)
    assert re.search(r"transaction \d+ in cell 'na'.*not known", str(error))
    assert cells.outcome(error, evidence=is_stored(person)) == "rolled back"
    assert not stored(region, person)


class CutProxy(threading.Thread):
    """Passes a connection on to a server until COMMIT: that still arrives, and its answer does not."""

    def __init__(self, port: int, *, cut: bytes) -> None:
        super().__init__(daemon=True)
        self._to = port
        self._cut = cut
        self.armed = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.start()

    def run(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                threading.Thread(target=self._pass, args=(client, server), daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        silent = threading.Event()

        def answers() -> None:
            with suppress(OSError):
                while data := server.recv(65536):
                    if silent.is_set():
                        # The server has done what it was told; nobody hears of it.
                        client.shutdown(socket.SHUT_RDWR)
                        return
                    client.sendall(data)

        threading.Thread(target=answers, daemon=True).start()
        with suppress(OSError):
            while data := client.recv(65536):
                if self.armed and self._cut in data:
                    self.armed = False
                    silent.set()
                server.sendall(data)

    def close(self) -> None:
        self._listener.close()


@contextmanager
def cut_at(region: Region, what: bytes) -> Iterator[tuple[CutProxy, PostgresCells]]:
    where = endpoints.postgres("na", region.settings)
    proxy = CutProxy(where.port, cut=what)
    dsn = endpoints.dsn("na", "superuser", settings=region.settings).replace(f":{where.port}/", f":{proxy.port}/")
    settings = region.settings.model_copy(update={"dsn_na": SecretStr(dsn)})
    try:
        with PostgresCells(settings, limits=LIMITS, metered=False) as cells:
            yield proxy, cells
    finally:
        proxy.close()


def test_a_commit_whose_answer_is_lost_is_neither_success_nor_failure_and_is_not_repeated(region: Region) -> None:
    person, calls = uuid4(), []

    def work(connection: Connection) -> None:
        calls.append(1)
        durable(connection)
        adds(person)(connection)

    with cut_at(region, b"COMMIT") as (proxy, cells):
        cells.write(NA, backend)
        proxy.armed = True
        with pytest.raises(UnknownOutcomeError) as raised:
            cells.write(NA, work, repeatable=True)
        assert calls == [1]
        assert stored(region, person)
        # No crash since: the server itself knows.
        assert cells.outcome(raised.value) == "committed"
        # After one it cannot be sure, and what was written tells.
        region.crash("na", Running(lambda: cells.read(NA, backend)).ended().result)
        assert cells.outcome(raised.value) == "unknown"
        assert cells.outcome(raised.value, evidence=is_stored(person)) == "committed"


def test_a_tenants_commit_whose_answer_is_lost_is_unknown_too(region: Region) -> None:
    name = "held"
    with cut_at(region, b"COMMIT") as (proxy, cells):
        cells.write(Subject(tenant="shop-na"), backend)
        proxy.armed = True
        with pytest.raises(UnknownOutcomeError) as raised:
            cells.write(
                Subject(tenant="shop-na"),
                lambda connection: connection.execute("insert into saas.projects (name) values (%s)", [name]),
            )
        assert cells.outcome(raised.value) == "committed"
        rows = cells.read(Subject(tenant="shop-na"), lambda c: c.execute("select name from saas.projects").fetchall())
        assert (name,) in rows


def test_a_read_whose_commit_is_lost_is_no_unknown_outcome(region: Region) -> None:
    with cut_at(region, b"COMMIT") as (proxy, cells):
        cells.read(NA, backend)
        calls: list[int] = []

        def work(connection: Connection) -> int:
            calls.append(backend(connection))
            proxy.armed = len(calls) == 1
            return calls[-1]

        assert cells.read(NA, work) == calls[1]


def durable(connection: Connection) -> None:
    """The servers of these tests answer a COMMIT before it is on disk; this one is not to."""
    connection.execute("set local synchronous_commit = on")


def test_a_commit_that_did_not_wait_for_its_standby_is_unknown(cells: PostgresCells, region: Region) -> None:
    def work(connection: Connection) -> None:
        durable(connection)
        adds(uuid4())(connection)

    with region.connect("na", "superuser") as superuser:
        waits = "select pid from pg_stat_activity where wait_event = 'SyncRep'"

        def waiting() -> bool:
            return superuser.execute(waits).fetchone() is not None

        superuser.execute("alter system set synchronous_standby_names = 'nobody'")
        superuser.execute("select pg_reload_conf()")
        try:
            # Until the server has read that, commits succeed without waiting.
            writing = Running(lambda: cells.write(NA, work, repeatable=True))
            while not waiting():
                if not writing.is_alive():
                    assert writing.error is None
                    writing = Running(lambda: cells.write(NA, work, repeatable=True))
                time.sleep(0.02)
            superuser.execute(f"select pg_cancel_backend(pid) from ({waits}) as w".encode())
            error = writing.ended().error
        finally:
            superuser.execute("alter system reset synchronous_standby_names")
            superuser.execute("select pg_reload_conf()")
            wait_for(lambda: not waiting())
    assert isinstance(error, UnknownOutcomeError)
    assert "standby" in str(error)
    assert cells.outcome(error) == "committed"
    # The notice was of that transaction and not of the connection's next.
    cells.write(NA, backend)


def test_statement_completion_unknown_is_what_it_says(cells: PostgresCells, region: Region) -> None:
    person = uuid4()

    def work(connection: Connection) -> None:
        adds(person)(connection)
        connection.execute("do $$ begin raise exception 'lost' using errcode = '40003'; end $$")

    with pytest.raises(UnknownOutcomeError, match="does not know") as raised:
        cells.write(NA, work, repeatable=True)
    assert cells.outcome(raised.value) == "rolled back"
    assert not stored(region, person)


def test_a_transaction_that_still_runs_is_said_to(cells: PostgresCells, region: Region) -> None:
    with region.connect("na") as loader, loader.transaction():
        error: list[UnknownOutcomeError] = []

        def work(connection: Connection) -> None:
            from orchestration.cells.outcome import mark, outcome_of

            unknown = UnknownOutcomeError("na", "for the test", mark(connection, "na"))
            error.append(unknown)
            assert outcome_of(unknown, region.settings, patience=0.2) == "in progress"

        cells.write(NA, work)
    assert cells.outcome(error[0]) == "committed"


# Works that do what they must not.


def test_a_work_that_swallows_an_error_is_no_success(cells: PostgresCells, region: Region) -> None:
    person = uuid4()

    def work(connection: Connection) -> None:
        adds(person)(connection)
        with suppress(psycopg.Error):
            connection.execute("select 1/0")

    with pytest.raises(TransactionEndedError, match="rolled back"):
        cells.write(NA, work)
    assert not stored(region, person)


@pytest.mark.parametrize("statement", ["commit", "rollback"])
def test_a_work_that_ends_its_transaction_is_an_error(cells: PostgresCells, statement: str) -> None:
    with pytest.raises(TransactionEndedError, match="ended its transaction"):
        cells.write(NA, lambda connection: connection.execute(statement.encode()))
    cells.write(NA, backend)


def test_an_error_of_the_work_is_the_callers_and_nothing_is_stored(cells: PostgresCells, region: Region) -> None:
    person, calls = uuid4(), []

    def work(connection: Connection) -> None:
        calls.append(1)
        adds(person)(connection)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        cells.write(NA, work, repeatable=True)
    assert calls == [1]
    assert not stored(region, person)


def test_an_error_of_the_server_is_not_repeated(cells: PostgresCells, region: Region) -> None:
    person, calls = region.new_person("na"), []

    def work(connection: Connection) -> None:
        calls.append(1)
        adds(person)(connection)

    with pytest.raises(psycopg.errors.UniqueViolation):
        cells.write(NA, work, repeatable=True)
    assert calls == [1]
