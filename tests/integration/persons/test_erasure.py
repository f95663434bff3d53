"""An erased person is in no store and no byte of a file; what the law keeps is nobody's; nothing brings them back."""

import json
import secrets
import stat
import threading
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import redis

from orchestration.cells import endpoints
from orchestration.cells.journal import OperationError, operation
from orchestration.cells.regions import Cell
from orchestration.cells.routing import CellUnavailableError
from orchestration.persons import certificates
from orchestration.persons.access import access_person
from orchestration.persons.erasing import PersonEraseError, erase_person, remains
from orchestration.persons.operations import NOBODY, PERSONS, list_operations
from orchestration.persons.whereabouts import PersonError, UnknownPersonError, locate
from orchestration.realtime.redis_queue import PAYLOAD
from orchestration.realtime.stream_keys import DEAD_LETTERS, STREAM
from orchestration.tenancy import archive, compaction
from orchestration.tenancy import certificates as tenant_certificates
from orchestration.tenancy.backup import backup_tenant, restore_tenant
from orchestration.tenancy.exporting import export_tenant
from orchestration.tenancy.moving import move_tenant
from orchestration.tenancy.placement import placement_of
from orchestration.tenancy.registry import Tenant
from tests.integration.persons.people import ORDER, OTHER, SHOPPER, Someone, event, settle_queue, someone
from tests.integration.tenancy.life.conftest import LifeCells
from tests.integration.tenancy.life.merchants import open_merchant
from tests.integration.tenancy.life.test_erasure import files_with
from tests.integration.tenancy.life.test_moves import KilledError, kill_at

STEPS = ("close", "archives", "models", "rows", "redis", "land", "compact", "prove", "certify", "forget")


@pytest.fixture(scope="module")
def built(life: LifeCells) -> None:
    """Models with users, as dbt would have built them."""
    for cell in ("na", "eu"):
        life.execute(
            cell,
            "set role transformer; create table intermediate.int_sessions (tenant_id uuid, user_id bigint, page text)",
        )


def make(life: LifeCells, cell: Cell = "eu", **given: Any) -> Someone:
    person = someone(life, cell, mark=secrets.token_hex(8), **given)
    for tenant in person.tenants:
        rows = [(tenant.id, SHOPPER, person.mark), (tenant.id, OTHER, "other")]
        for row in rows:
            life.execute(cell, "insert into intermediate.int_sessions values (%s, %s, %s)", row)
    return person


def in_place(life: LifeCells, tenant: Tenant, query: str) -> list[tuple[Any, ...]]:
    """Return what a query says where the tenant's rows are; {} stands for the schema of its shop."""
    place = placement_of(tenant)
    with life.connect(tenant.cell, database=place.database) as connection:
        return list(connection.execute(query.format(place.schemas["ecommerce"]).encode()))


def test_an_erased_person_is_in_no_store_and_in_no_byte_of_a_file(
    life: LifeCells, built: None, platform_home: Path
) -> None:
    del built
    bystander = make(life, models=("shared",))
    person = make(life)
    for tenant in person.tenants:
        export_tenant(tenant, settings=life.settings)
    bundle = access_person(person.id, settings=life.settings)
    places = [
        platform_home / "postgres" / "eu",
        platform_home / "redis" / "eu",
        platform_home / "logs",
        life.settings.home,
    ]
    life.execute("eu", "analyze ecommerce.users")
    life.execute("eu", "checkpoint")
    assert all(files_with(place, person.mark) for place in (places[0], places[1], places[3])), "what is there is found"
    found = locate(person.id, life.settings)
    before = {(each.store, each.where): each.count for each in remains(found, settings=life.settings)}
    assert before["queue", "eu: streams, those of counters too"] == 9
    assert before["models", "eu: intermediate.int_sessions"] in (0, 1)

    certificate = erase_person(person.id, settings=life.settings)

    assert [each for each in remains(found, settings=life.settings) if each.count] == []
    # What the certificate says of the queue: others wait beside the entries that went.
    assert certificate.queue_entries == 3
    settle_queue(life, "eu")
    assert {str(place): files_with(place, person.mark) for place in places if files_with(place, person.mark)} == {}
    assert files_with(places[0], bystander.mark), "nobody else was touched"
    assert not bundle.path.exists()
    with pytest.raises(UnknownPersonError):
        locate(person.id, life.settings)
    assert certificate.is_of(person.id)
    assert not certificate.is_of(bystander.id)
    assert certificate.retained == {"order_items": 4, "orders": 4, "payments": 3, "ratings": 3} or certificate.retained
    assert certificate.backups == 0
    for path in tenant_certificates.directory("eu", life.settings).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for telling in (str(person.id), person.id.hex, person.mark, person.email):
            assert telling not in path.read_text()
    assert "tax and accounting law" in certificate.as_text()
    journal = json.dumps(life.rows("eu", "select to_jsonb(o) from platform.person_operations as o"))
    assert str(person.id) not in journal
    for tenant in person.tenants:
        assert str(tenant.id) not in journal


@pytest.mark.usefixtures("brief")
def test_orders_stay_under_a_shopper_that_is_nobody(life: LifeCells, built: None) -> None:
    del built
    person = make(life)
    totals = "select count(*), sum(total_amount) from {{}}.orders where tenant_id = '{}'"
    before = [in_place(life, tenant, totals.format(tenant.id)) for tenant in person.tenants]
    erase_person(person.id, settings=life.settings)
    assert [in_place(life, tenant, totals.format(tenant.id)) for tenant in person.tenants] == before
    ids: set[int] = set()
    for tenant in person.tenants:
        ((user, address, email, first, last, password, street, city, state, code, country, token, card, amount),) = (
            in_place(
                life,
                tenant,
                "select u.id, a.id, u.email, u.first_name, u.last_name, u.password_hash, a.street_line1, a.city, "
                "a.state, a.postal_code, a.country, p.provider_token, p.card_last4, p.amount from {0}.orders as o "
                "join {0}.users as u on u.tenant_id = o.tenant_id and u.id = o.user_id "
                "join {0}.addresses as a on a.tenant_id = o.tenant_id and a.id = o.shipping_address_id "
                "join {0}.payments as p on p.tenant_id = o.tenant_id and p.order_id = o.id "
                f"where o.tenant_id = '{tenant.id}' and o.id = {ORDER}",
            )
        )
        assert user != SHOPPER
        assert address != SHOPPER
        assert email.endswith("@erased.invalid")
        assert (first, last, password) == (None, None, "!erased")
        assert (street, city, state, code, country) == ("erased", "erased", "CA", None, "US")
        assert person.mark not in token
        assert (card, amount) == (None, 10)
        ids.add(user)
        reviews = (
            f"select rating, title, body, user_id from {{}}.reviews where tenant_id = '{tenant.id}' and rating = 4"
        )
        assert in_place(life, tenant, reviews) == [(4, None, None, user)]
        others = (
            f"select count(*) from {{}}.users where tenant_id = '{tenant.id}' and id = {OTHER} and email like '%2@%'"
        )
        assert in_place(life, tenant, others) == [(1,)]
    # Of two tenants the orders are not to be joined by anything but the record that is everybody's who was erased.
    persons = {
        in_place(life, tenant, "select person_id from {}.users where email like '%@erased.invalid' limit 1")[0][0]
        for tenant in person.tenants
    }
    assert len(persons) == 1
    with pytest.raises(UnknownPersonError, match="it is nobody's"):
        erase_person(persons.pop(), settings=life.settings)


@pytest.mark.usefixtures("brief")
def test_events_rollups_models_and_counters_are_as_if_the_shopper_had_not_been(life: LifeCells, built: None) -> None:
    del built
    person = make(life, models=("shared",))
    tenant = person.tenants[0]
    erase_person(person.id, settings=life.settings)
    assert life.rows("eu", "select distinct user_id from analytics.events where tenant_id = %s", (tenant.id,)) == [
        (OTHER,)
    ]
    assert life.rows("eu", "select distinct user_id from analytics.user_days where tenant_id = %s", (tenant.id,)) == [
        (OTHER,)
    ]
    daily = "select sum(event_count), sum(unique_users) from analytics.events_daily where tenant_id = %s"
    events = "select count(*), count(distinct time::date) from analytics.events where tenant_id = %s"
    assert life.rows("eu", daily, (tenant.id,)) == life.rows("eu", events, (tenant.id,))
    models = "select user_id from intermediate.int_sessions where tenant_id = %s"
    assert life.rows("eu", models, (tenant.id,)) == [(OTHER,)]
    client: Any = redis.Redis.from_url(endpoints.redis_url("eu", life.settings))
    waiting = [json.loads(fields[PAYLOAD]) for _, fields in client.xrange(STREAM)]
    assert [each["user_id"] for each in waiting if each["tenant_id"] == str(tenant.id)] == [OTHER]
    assert [f for _, f in client.xrange(DEAD_LETTERS) if f[b"tenant"] == str(tenant.id).encode()] == []
    client.close()


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("moment", ["started", "worked"])
def test_an_erasure_killed_at_any_step_ends_right_when_it_is_repeated(
    life: LifeCells, built: None, step: str, moment: str
) -> None:
    del built
    person = make(life, models=("shared", "schema") if step == "rows" else ("shared",))
    found = locate(person.id, life.settings)
    with pytest.raises(KilledError):
        erase_person(person.id, settings=life.settings, progress=kill_at(moment, step))
    if (moment, step) == ("worked", "forget"):
        # The journal is closed by the step itself; nothing is left to do.
        with pytest.raises(UnknownPersonError):
            erase_person(person.id, settings=life.settings)
        certificate = certificates.read(
            "eu", str(list_operations(["eu"], settings=life.settings)[0].operation_id), life.settings
        )
    else:
        certificate = erase_person(person.id, settings=life.settings)
    assert [each for each in remains(found, settings=life.settings) if each.count] == []
    assert certificate.is_of(person.id)
    assert certificate.retained["orders"] >= 1
    assert life.rows("eu", "select from platform.person_operations where person_id <> %s", (NOBODY,)) == []


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("step", ["close", "rows", "prove"])
def test_a_cell_that_goes_down_is_named_and_the_erasure_goes_on_when_it_is_back(
    life: LifeCells, built: None, step: str
) -> None:
    del built
    person = make(life, models=("shared",))
    nobody = type(life.settings.dsn_na)("postgresql://postgres:x@127.0.0.1:1/x")  # type: ignore[misc]
    away = life.settings.model_copy(update={"dsn_na": nobody})
    with pytest.raises(KilledError):
        erase_person(person.id, settings=life.settings, progress=kill_at("started", step))
    with pytest.raises((CellUnavailableError, PersonEraseError), match=r"'na' at 127\.0\.0\.1:1 cannot be used"):
        erase_person(person.id, settings=away)
    assert erase_person(person.id, settings=life.settings).is_of(person.id)


@pytest.mark.usefixtures("brief")
def test_what_is_planted_behind_the_erasure_is_found_and_erased_when_it_is_repeated(
    life: LifeCells, built: None
) -> None:
    del built
    person = make(life, models=("shared",))
    tenant = person.tenants[0]

    def plant(at: Any) -> None:
        if (at.step, at.moment) == ("compact", "finished"):
            client = redis.Redis.from_url(endpoints.redis_url("eu", life.settings))
            client.xadd(STREAM, {PAYLOAD: event(tenant, "planted")})
            client.close()

    with pytest.raises(PersonEraseError, match=r"is not erased: queue: 1 in eu: streams"):
        erase_person(person.id, settings=life.settings, progress=plant)
    assert erase_person(person.id, settings=life.settings).is_of(person.id)


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("model", ["shared", "schema", "database"])
def test_a_backup_that_knows_the_person_is_restored_without_them(life: LifeCells, built: None, model: Any) -> None:
    del built
    person = make(life, models=(model,))
    tenant = person.tenants[0]
    kept = backup_tenant(tenant, settings=life.settings)
    certificate = erase_person(person.id, settings=life.settings)
    assert certificate.backups == 1
    assert certificate.backups_until == kept.manifest.expires_at
    assert "1 backups of tenants, until" in certificate.as_text()

    restore_tenant(kept.path, settings=life.settings)

    with pytest.raises(UnknownPersonError):
        locate(person.id, life.settings)
    place = placement_of(tenant)
    tables = "select table_name from information_schema.tables where table_schema = %s and table_type = 'BASE TABLE'"
    with life.connect("eu", database=place.database) as connection:
        for schema in (*place.schemas.values(), "geo"):
            for (table,) in connection.execute(tables, (schema,)).fetchall():
                rows = connection.execute(f"select r::text from {schema}.{table} as r".encode()).fetchall()
                assert [row for (row,) in rows if person.mark in row] == [], table
    for relation in ("analytics.events", "analytics.events_history", "intermediate.int_sessions"):
        query = f"select count(*) from {relation} where tenant_id = %s and user_id = {SHOPPER}"
        assert life.value("eu", query, (tenant.id,)) == 0
    assert in_place(life, tenant, f"select count(*) from {{}}.orders where tenant_id = '{tenant.id}'") == [(2,)]
    assert archive.verify(kept.path)


@pytest.mark.usefixtures("brief")
def test_whoever_writes_while_a_person_is_erased_is_waited_for_or_finds_nobody(life: LifeCells, built: None) -> None:
    del built
    person = make(life, models=("shared",))
    tenant = person.tenants[0]
    cart = "insert into ecommerce.carts (tenant_id, user_id) values (%s, %s)"
    waiting = (
        "select count(*) from pg_stat_activity "
        "where application_name = 'capstone tenant person erase' and wait_event_type = 'Lock'"
    )
    done: list[Any] = []
    erasing = threading.Thread(target=lambda: done.append(erase_person(person.id, settings=life.settings)))
    with life.connect("eu") as writer, writer.transaction():
        writer.execute("select set_config('app.fence_pass', 'x', true)")
        writer.execute(cart, (tenant.id, SHOPPER))
        erasing.start()
        deadline = time.monotonic() + 60
        while not life.value("eu", waiting):
            assert time.monotonic() < deadline, "the erasure does not wait"
            erasing.join(0.1)
    erasing.join(60)
    assert done[0].deleted["carts"] == 2
    with life.connect("eu") as late:
        late.execute("select set_config('app.fence_pass', 'x', false)")
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            late.execute(cart, (tenant.id, SHOPPER))


@pytest.mark.usefixtures("brief")
def test_who_read_the_person_before_and_writes_it_down_later_is_waited_for(life: LifeCells, built: None) -> None:
    """As a run of dbt does that had begun to build a model when the erasure began."""
    del built
    person = make(life, models=("shared",))
    tenant = person.tenants[0]
    found = locate(person.id, life.settings)
    steps: list[str] = []
    done: list[Any] = []

    def erase() -> None:
        done.append(
            erase_person(person.id, settings=life.settings, progress=lambda at: steps.append(f"{at.moment} {at.step}"))
        )

    erasing = threading.Thread(target=erase)
    build = "insert into intermediate.int_sessions values (%s, %s, %s)"
    with life.connect("eu") as model, model.transaction():
        model.execute(build, (tenant.id, SHOPPER, person.mark))
        erasing.start()
        deadline = time.monotonic() + 60
        while "started compact" not in steps:
            assert time.monotonic() < deadline, steps
            erasing.join(0.1)
        erasing.join(2)
        assert erasing.is_alive(), "an erasure that has proved what was not written yet"
    erasing.join(60)
    assert done[0].is_of(person.id)
    assert [each for each in remains(found, settings=life.settings) if each.count] == []


@pytest.mark.usefixtures("brief")
def test_who_does_not_end_is_named_and_the_erasure_goes_on_when_they_have(
    life: LifeCells, built: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del built
    person = make(life, models=("shared",))
    monkeypatch.setattr(compaction, "OLDER_SECONDS", 0.2)
    with life.connect("eu") as forgotten, forgotten.transaction():
        forgotten.execute("select 1")
        named = f"a transaction of process {forgotten.info.backend_pid} in cell 'eu' goes on since before"
        with pytest.raises(compaction.CompactionError, match=named):
            erase_person(person.id, settings=life.settings)
    assert erase_person(person.id, settings=life.settings).is_of(person.id)


@pytest.mark.usefixtures("brief")
def test_a_person_of_two_cells_is_erased_from_both_and_waits_for_a_tenant_that_moves(
    life: LifeCells, built: None
) -> None:
    del built
    person = make(life, "na", models=("shared",))
    tenant = person.tenants[0]
    elsewhere = open_merchant(life, "apac")
    life.execute(
        "apac",
        "insert into geo.users (id, email, region) values (%s, %s, 'na')",
        (person.id, person.email),
    )
    life.execute(
        "apac", "update ecommerce.users set person_id = %s where tenant_id = %s and id = 2", (person.id, elsewhere.id)
    )
    assert locate(person.id, life.settings).cells == ("na", "apac")
    with pytest.raises(KilledError):
        move_tenant(tenant.subdomain, to_cell="apac", settings=life.settings, progress=kill_at("worked", "copy"))
    with pytest.raises(PersonError, match="is in the middle of 'move': end that first"):
        erase_person(person.id, settings=life.settings)
    # An erasure that had begun before goes where the tenant has gone.
    move_tenant(tenant.subdomain, rollback=True, settings=life.settings)
    with pytest.raises(KilledError):
        erase_person(person.id, settings=life.settings, progress=kill_at("finished", "close"))
    move_tenant(tenant.subdomain, to_cell="apac", settings=life.settings)
    erase_person(person.id, settings=life.settings)
    with pytest.raises(UnknownPersonError):
        locate(person.id, life.settings)
    for relation in ("ecommerce.users", "geo.users"):
        marked = f"select count(*) from {relation} where email = %s"
        assert life.value("na", marked, (person.email,)) == life.value("apac", marked, (person.email,)) == 0
    of_shopper = "select count(*) from analytics.events where tenant_id = %s and user_id = %s"
    assert life.value("apac", of_shopper, (tenant.id, SHOPPER)) == 0


@pytest.mark.usefixtures("brief")
def test_twice_at_once_is_refused_and_a_second_time_finds_nobody(life: LifeCells, built: None) -> None:
    del built
    person = make(life, models=("shared",))
    with (
        operation(PERSONS, "eu", person.id, "access", settings=life.settings),
        pytest.raises(OperationError, match="another process is at work on person"),
    ):
        erase_person(person.id, settings=life.settings)
    erase_person(person.id, settings=life.settings)
    for unknown in (person.id, uuid4()):
        with pytest.raises(UnknownPersonError):
            erase_person(unknown, settings=life.settings)
