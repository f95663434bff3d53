"""The residency suite is tested by mutation: each way in which people's data leave their cell is named by its rule.

They are ``residency_mutations.yml``, planted in real cells: their databases, those of the control cluster, Redis, and
files of the state directory.
"""

import base64
import gzip
import io
import json
import lzma
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest
import redis
import yaml

from orchestration.cells import endpoints, routing, stores
from orchestration.cells.endpoints import Role
from orchestration.cells.regions import CELLS, Cell
from orchestration.cells.relations import load_relations
from orchestration.proofs.direct import ask
from orchestration.proofs.proof import SUITES_DIRECTORY
from orchestration.proofs.residency import file_search, stores_survey
from orchestration.proofs.residency.dead_bytes import dead_bytes, describe
from orchestration.proofs.session import rule_session
from orchestration.proofs.watch import decide, look
from orchestration.quality.suite import Suite, load_suite
from orchestration.settings import Settings
from orchestration.tenancy.placement import database_name
from orchestration.tenancy.provisioning import deprovision, provision
from orchestration.tenancy.registry import Tenant

if TYPE_CHECKING:
    from psycopg.rows import TupleRow

    from tests.integration.proofs.conftest import ProofCells

MUTATIONS: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("residency_mutations.yml").read_text())
FEWEST = 80
SUITE = "geo_residency"

# Killed by the tests below, which no line of the list can plant.
KILLED_HERE = {"every_store_is_known_to_the_survey", "storage_stays_with_the_cell"}


@dataclass(frozen=True)
class Subject:
    """The cells, and the names that mutations may use."""

    world: "ProofCells"
    suite: Suite
    names: dict[str, str]
    stack: ExitStack
    _open: dict[tuple[str, str, str | None], "psycopg.Connection[TupleRow]"] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        return self.world.settings

    def connection(self, cluster: Any, role: Role, database: str | None = None) -> "psycopg.Connection[TupleRow]":
        key = (str(cluster), role, database)
        if key not in self._open:
            opened = routing.connect(cluster, role, database=database, autocommit=True, settings=self.settings)
            self._open[key] = self.stack.enter_context(opened)
        return self._open[key]

    def named(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace("{" + name + "}", value)
        return text

    def found(self, cell: Cell = "na") -> dict[str, set[str]]:
        """Return the objects that each rule names; of a rule that could not be asked, why."""
        auditor = self.connection(cell, "auditor")
        further = stores_survey.survey(cell, auditor, self.settings).as_settings()
        answers = ask(auditor, self.suite, rule_session(cell, load_relations(), further=further))
        return {
            answer.rule: {offender.object for offender in answer.offenders}
            | ({answer.error} if answer.error else set())
            for answer in answers
            if answer.offenders or answer.error
        }


@pytest.fixture(scope="module")
def subject(world: "ProofCells") -> Iterator[Subject]:
    with ExitStack() as stack:
        tenant = stack.enter_context(_tenant_with_a_database(world))
        found = Subject(world, load_suite(SUITES_DIRECTORY / SUITE), {}, stack)
        for cell in CELLS:
            assert found.found(cell) == {}, "the cell is not green to begin with"
        european = stack.enter_context(_european(world))
        canary = "select min(person_id::text) from geo.canaries"
        own, theirs = str(_one(found, "na", canary)), str(_one(found, "eu", canary))
        found.names.update(
            own=own,
            own_hex=own.replace("-", ""),
            theirs=theirs,
            theirs_hex=theirs.replace("-", ""),
            theirs_base64=base64.b64encode(f"1;{theirs};x".encode()).decode(),
            tenant=str(_one(found, "na", "select min(id::text) from saas.tenants where model = 'shared'")),
            own_database=database_name(tenant),
            their_address=european,
            both_address=str(_one(found, "na", "select min(email) from ecommerce.users")),
            their_person=str(
                _one(
                    found,
                    "eu",
                    "select min(id::text) from geo.users where id not in (select person_id from geo.canaries)",
                )
            ),
        )
        yield found


def _one(subject: Subject, cell: Cell, query: str) -> object:
    row = subject.connection(cell, "auditor").execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


@contextmanager
def _european(world: "ProofCells") -> Iterator[str]:
    """Somebody of the EU whose address nobody has in another cell."""
    person, address = uuid4(), "Only.In-Europe@Example.org"
    with routing.connect("eu", "loader", autocommit=True, settings=world.settings) as loader:
        loader.execute("insert into geo.users (id, email, region) values (%s, %s, 'eu')", (person, address))
        try:
            yield address.lower()
        finally:
            loader.execute("delete from geo.users where id = %s", (person,))


@contextmanager
def _tenant_with_a_database(world: "ProofCells") -> Iterator[UUID]:
    tenant = Tenant(uuid4(), "na", "Own", "own-database", "free", "active", "database")
    with routing.connect("na", "loader", settings=world.settings) as loader:
        loader.execute(
            "insert into saas.tenants (id, name, subdomain, plan, model) values (%s, %s, %s, 'free', 'database')",
            (tenant.id, tenant.name, tenant.subdomain),
        )
    provision(tenant, "database", "na", world.settings)
    with routing.connect("na", "loader", database=database_name(tenant.id), settings=world.settings) as loader:
        loader.execute("insert into ecommerce.store_settings (tenant_id) values (%s)", (tenant.id,))
    try:
        yield tenant.id
    finally:
        deprovision(tenant.id, "database", "na", world.settings)


@contextmanager
def _planted(subject: Subject, mutation: dict[str, Any]) -> Iterator[None]:
    kind: Callable[[Subject, dict[str, Any]], Any] = (
        _in_redis if "redis" in mutation else _in_a_file if "file" in mutation else _in_sql
    )
    with kind(subject, mutation):
        yield


@contextmanager
def _in_sql(subject: Subject, mutation: dict[str, Any]) -> Iterator[None]:
    cell: Cell = mutation.get("cell", "na")
    plant, mend = subject.named(mutation["plant"]), subject.named(mutation["mend"])
    if mutation.get("unenforced", False):
        subject.world.misplace(cell, plant)
        run = subject.connection(cell, "superuser")
    else:
        database = (
            mutation.get("in_control")
            or mutation.get("in_database")
            or (subject.names["own_database"] if "in_tenant_database" in mutation else None)
        )
        run = subject.connection("control" if "in_control" in mutation else cell, "superuser", database)
        for statement in plant.split(";;"):
            run.execute(statement.encode())
        run.execute("reset all")
    try:
        yield
    finally:
        for statement in mend.split(";;"):
            run.execute(statement.encode())
        run.execute("reset all")


@contextmanager
def _in_redis(subject: Subject, mutation: dict[str, Any]) -> Iterator[None]:
    with closing(redis.Redis.from_url(endpoints.redis_url("na", subject.settings))) as client:
        before = set(client.keys())
        execute: Callable[..., Any] = client.execute_command
        for command in mutation["redis"]:
            execute(*(subject.named(part) for part in command))
        try:
            yield
        finally:
            for key in set(client.keys()) - before:
                client.delete(key)
            for command in mutation.get("undo", ()):
                execute(*command)


def _zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.csv", content)
    return buffer.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "zip": _zipped,
    "zip of gzip": lambda content: _zipped(gzip.compress(content)),
    # As `openssl enc` begins a file.
    "encrypted": lambda content: b"Salted__" + bytes(255 - each for each in content),
}


@contextmanager
def _in_a_file(subject: Subject, mutation: dict[str, Any]) -> Iterator[None]:
    path = subject.settings.home / subject.named(mutation["file"])
    made = next(parent for parent in [*reversed(path.parents), path] if not parent.exists())
    path.parent.mkdir(parents=True, exist_ok=True)
    if "link" in mutation:
        path.symlink_to(mutation["link"])
    elif "binary" in mutation:
        path.write_bytes(b"PGCOPY\n\xff\r\n\0" + UUID(subject.names[mutation["binary"]]).bytes + b"\0\0")
    else:
        content = subject.named(mutation["content"]).encode()
        path.write_bytes(PACKERS[mutation["packed"]](content) if "packed" in mutation else content)
    try:
        yield
    finally:
        if made.is_dir() and not made.is_symlink():
            shutil.rmtree(made)
        else:
            made.unlink()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[each["name"] for each in MUTATIONS])
def test_a_planted_copy_is_named_by_its_rule(subject: Subject, mutation: dict[str, Any]) -> None:
    cell: Cell = mutation.get("cell", "na")
    with _planted(subject, mutation):
        found = subject.found(cell)
    told = json.dumps({rule: sorted(objects) for rule, objects in found.items()}, indent=1)
    assert subject.named(mutation["object"]) in found.get(mutation["rule"], set()), told
    # Whatever was planted: who reads the verdict learns of nobody.
    for name in ("own", "own_hex", "theirs", "theirs_hex", "theirs_base64", "their_address"):
        assert subject.names[name] not in told


def test_all_is_green_when_all_is_mended(subject: Subject) -> None:
    for cell in CELLS:
        assert subject.found(cell) == {}


def test_every_rule_is_killed_by_a_mutation(subject: Subject) -> None:
    killed = {mutation["rule"] for mutation in MUTATIONS} | KILLED_HERE
    assert {rule.id for rule in subject.suite.rules} == killed


def test_there_are_many_mutations_each_with_a_name_of_its_own() -> None:
    names = [mutation["name"] for mutation in MUTATIONS]
    assert len(names) == len(set(names)) >= FEWEST


def test_a_store_that_the_survey_does_not_know_is_red(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    attic = stores.Store("attic", "database", "cell", "rows", ("attic",), "Nobody knows")
    registered = stores.stores()
    monkeypatch.setattr(stores_survey, "stores", lambda: (*registered, attic))
    assert subject.found() == {"every_store_is_known_to_the_survey": {"attic (database)"}}


def test_a_store_of_files_is_surveyed_as_soon_as_it_is_registered(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    attic = stores.Store("attic", "files", "cell", "rows", ("attic/{cell}",), "New")
    registered = stores.stores()
    monkeypatch.setattr(stores_survey, "stores", lambda: (*registered, attic))
    mutation = {"file": "attic/na/x.csv", "content": "{theirs}"}
    with _planted(subject, mutation):
        assert subject.found() == {"files_hold_no_person": {"attic/na/x.csv (a canary of cell eu)"}}


def test_a_name_that_only_begins_like_a_canarys_id_is_none(subject: Subject) -> None:
    mark = subject.names["own"][:8]
    mutation = {
        "plant": f"insert into geo.users (id, email, region) values ('{mark}-0000-4000-8000-000000000000', "
        f"'{mark}@example.com', 'na')",
        "mend": f"delete from geo.users where email = '{mark}@example.com'",
    }
    with _planted(subject, mutation):
        assert subject.found() == {}


def test_an_address_that_may_be_here_is_no_copy(subject: Subject) -> None:
    plant = {
        # Of somebody who has a record in both, of a person of this cell, of nobody.
        "plant": "create table public.t (w text);;insert into public.t values ('write to {both_address}'), "
        "('x@canary.invalid @example.com a@b'), ('nobody-at-all@example.org')",
        "mend": "drop table public.t",
    }
    with _planted(subject, plant):
        assert subject.found() == {}
    # At home an address may be in a text.
    there = {
        "cell": "eu",
        "plant": "create table public.t (w text);;insert into public.t values ('{their_address}')",
        "mend": "drop table public.t",
    }
    with _planted(subject, there):
        assert subject.found("eu") == {}


def test_a_tablespace_elsewhere_is_named(subject: Subject, tmp_path: Path) -> None:
    # A place that the server's user may own.
    place = tmp_path / "elsewhere"
    place.mkdir()
    data = Path(_data_directory(subject))
    shutil.chown(place, data.owner(), data.group())
    for parent in place.parents:
        if str(parent).startswith("/tmp/"):  # noqa: S108
            parent.chmod(0o755)
    administrator = subject.connection("na", "superuser")
    administrator.execute(f"create tablespace elsewhere location '{place}'".encode())
    try:
        assert subject.found() == {"storage_stays_with_the_cell": {"elsewhere (tablespace)"}}
    finally:
        administrator.execute("drop tablespace elsewhere")


def _data_directory(subject: Subject) -> str:
    row = subject.connection("na", "superuser").execute("select current_setting('data_directory')").fetchone()
    assert row is not None
    return str(row[0])


def test_what_cannot_be_surveyed_is_never_green(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(stores_survey, "search_redis", unreachable)
    assert subject.found() == {"stores_could_be_surveyed": {"counters (ConnectionError)", "queue (ConnectionError)"}}


@pytest.mark.parametrize(
    ("look", "store"), [("strays", "files"), ("search_files", "exports")], ids=["directories", "a store's files"]
)
def test_files_that_cannot_be_read_are_never_green(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, look: str, store: str
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(file_search, look, refused)
    found = subject.found()
    assert set(found) == {"stores_could_be_surveyed"}
    assert f"{store} (PermissionError)" in found["stores_could_be_surveyed"]


def test_whoever_is_sent_the_write_ahead_log_is_named_with_where_from(subject: Subject) -> None:
    dsn = endpoints.dsn("na", "superuser", settings=subject.settings)
    with pytest.raises(psycopg.OperationalError, match="entry for replication"):
        psycopg.connect(dsn, replication="true")
    # A standby is refused. What a subscriber of another server opens is not: the server runs a walsender for it.
    with psycopg.connect(dsn, replication="database", application_name="elsewhere", autocommit=True) as standby:
        sender = f"walsender elsewhere of {standby.info.user} from {standby.info.hostaddr}"
        assert subject.found() == {"connections_are_declared": {sender}}
        assert subject.found("eu") == {}
    assert subject.found() == {}


def test_a_stray_file_and_rows_in_another_database_are_noticed_without_a_proof(subject: Subject) -> None:
    stray = subject.settings.home / "attic"
    [proof] = subject.world.prove("na", ["geo_residency"])
    assert proof.verdict == "green"
    before = look("na", "geo_residency", settings=subject.settings)
    assert not decide(before, "geo_residency", before.movement).prove
    stray.write_text("x")
    try:
        seen = look("na", "geo_residency", settings=subject.settings)
        assert decide(seen, "geo_residency", before.movement).reason == "files of no store changed"
        [proof] = subject.world.prove("na", ["geo_residency"])
        assert [(each.rule, each.object) for each in proof.offenders] == [("files_belong_to_a_store", "attic")]
        seen = look("na", "geo_residency", settings=subject.settings)
        assert not decide(seen, "geo_residency", seen.movement).prove, "it is named already"
    finally:
        stray.unlink()
    seen = look("na", "geo_residency", settings=subject.settings)
    assert decide(seen, "geo_residency", seen.movement).prove
    with routing.connect("na", "superuser", database="postgres", settings=subject.settings) as connection:
        connection.execute("create table public.t as select generate_series(1, 10) as n")
    try:
        deadline = time.monotonic() + 30
        while look("na", "geo_residency", settings=subject.settings).movement == seen.movement:
            assert time.monotonic() < deadline, "nobody notices rows in a database beside the cell's"
            time.sleep(0.2)
    finally:
        with routing.connect("na", "superuser", database="postgres", settings=subject.settings) as connection:
            connection.execute("drop table public.t")
    [proof] = subject.world.prove("na", ["geo_residency"])
    assert proof.verdict == "green"


def test_without_a_survey_nothing_is_proven(subject: Subject) -> None:
    answers = ask(subject.connection("na", "auditor"), subject.suite, rule_session("na", load_relations()))
    named = {answer.rule: [each.object for each in answer.offenders] for answer in answers if answer.offenders}
    assert named == {"stores_could_be_surveyed": ["the survey"]}


def test_a_cell_that_is_away_makes_what_may_be_its_canary_unproven_and_nothing_else(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = routing.connect

    def without_eu(cluster: Any, role: Role, **further: Any) -> Any:
        if cluster == "eu":
            raise routing.CellUnavailableError("cell 'eu' is away")
        return connect(cluster, role, **further)

    monkeypatch.setattr(routing, "connect", without_eu)
    assert subject.found() == {}
    plant = {
        "plant": "create table public.t (w text);;insert into public.t values ('{theirs}')",
        "mend": "drop table public.t",
    }
    with _planted(subject, plant):
        assert subject.found() == {"stores_could_be_surveyed": {"public.t (a canary of an unknown cell)"}}


def test_a_cell_that_answers_and_whose_people_cannot_be_read_makes_the_others_unproven(subject: Subject) -> None:
    administrator = subject.connection("eu", "superuser")
    # Another name: the auditor reads whatever is there.
    administrator.execute("alter table saas.users rename to users_away")
    try:
        assert "people of cell eu (could not be read)" in subject.found()["stores_could_be_surveyed"]
    finally:
        administrator.execute("alter table saas.users_away rename to users")
    assert subject.found() == {}


def test_what_was_deleted_is_no_violation_but_told_with_what_ends_it(subject: Subject) -> None:
    administrator = subject.connection("na", "superuser")
    theirs = subject.names["theirs_hex"]

    def deleted() -> int:
        found = dead_bytes(["na"], subject.settings)
        return sum(each.files for each in found if each.what == "rows that were deleted")

    # What the tests before have left in memory is on disk too, then.
    administrator.execute("checkpoint")
    before = deleted()
    administrator.execute("create table public.passing (w text) with (autovacuum_enabled = false)")
    administrator.execute("insert into public.passing values (%s)", (theirs,))
    administrator.execute("delete from public.passing")
    administrator.execute("checkpoint")
    try:
        assert "people_are_in_their_own_relations_only" not in subject.found()
        dead = dead_bytes(["na"], subject.settings)
        assert {(each.cell, each.whose, each.what) for each in dead} >= {
            ("na", "cell eu", "rows that were deleted"),
            ("na", "cell eu", "write-ahead log"),
        }
        assert deleted() > before
        assert all(each.until and theirs not in describe(each) for each in dead)
        administrator.execute("vacuum full public.passing")
        administrator.execute("checkpoint")
        assert deleted() <= before
    finally:
        administrator.execute("drop table public.passing")
