"""A closed tenant is closed in the database: whatever it reads, writes or is in the middle of."""

import threading
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors, sql

from orchestration.cells import routing
from orchestration.tenancy.placement import Placement, operational_relations, placement_of
from orchestration.tenancy.registry import MODELS, Tenant, find
from orchestration.tenancy.suspension import (
    ALL_CLOSED,
    WRITES_CLOSED,
    TenantStateError,
    WritersAtWorkError,
    fence_writes,
    pass_fence,
    resume,
    set_status,
    suspend,
    unfence,
)

PROJECTS = "saas.projects"


def insert(place: Placement, name: str = "p") -> sql.Composed:
    return sql.SQL("insert into {} (name) values ({})").format(place.relation(PROJECTS), name)


def project(models: Any, tenant: Tenant) -> None:
    with models.as_tenant(tenant) as connection:
        connection.execute(insert(placement_of(tenant)))


@pytest.fixture(params=MODELS)
def tenant(models: Any, request: pytest.FixtureRequest) -> Tenant:
    """An open tenant of each model, with a project."""
    made: Tenant = models.tenant(request.param)
    project(models, made)
    return made


def test_a_suspended_tenant_sees_no_row_and_writes_none_and_resumed_it_sees_its_rows_again(
    models: Any, tenant: Tenant
) -> None:
    place = placement_of(tenant)
    suspended = suspend(tenant, settings=models.settings)
    assert suspended.status == find(tenant.id, settings=models.settings).status == "suspended"
    assert suspend(suspended, settings=models.settings) == suspended
    with models.as_tenant(tenant) as connection:
        for relation in operational_relations():
            assert connection.execute(
                sql.SQL("select count(*) from {}").format(place.relation(relation.name))
            ).fetchone() == (0,)
        with pytest.raises(psycopg.Error, match="is closed: suspended by the operator") as refused:
            connection.execute(insert(place))
        assert refused.value.sqlstate == ALL_CLOSED
    assert resume(tenant, models.settings).status == "active"
    assert resume(tenant, models.settings).status == "active"
    with models.as_tenant(tenant) as connection:
        assert connection.execute(sql.SQL("select count(*) from {}").format(place.relation(PROJECTS))).fetchone() == (
            1,
        )
        connection.execute(insert(place, "q"))


def test_a_fenced_tenant_reads_on_and_nobody_writes_its_rows_but_who_moves_it(models: Any, tenant: Tenant) -> None:
    place = placement_of(tenant)
    fence_writes(tenant, "is being moved", models.settings)
    fence_writes(tenant, "is being moved", models.settings)
    with models.as_tenant(tenant) as connection:
        assert connection.execute(sql.SQL("select count(*) from {}").format(place.relation(PROJECTS))).fetchone() == (
            1,
        )
        with pytest.raises(psycopg.Error, match="closed to writes: is being moved") as refused:
            connection.execute(insert(place))
        assert refused.value.sqlstate == WRITES_CLOSED
    bulk = sql.SQL("insert into {} (tenant_id, name) values ({}, 'bulk')").format(place.relation(PROJECTS), tenant.id)
    with place.connect("loader", models.settings) as loader, pytest.raises(psycopg.Error, match="closed to writes"):
        loader.execute(bulk)
    with place.connect("loader", models.settings) as loader:
        pass_fence(loader, tenant.id)
        loader.execute(bulk)
    unfence(tenant, models.settings)
    project(models, tenant)


def test_a_request_cannot_say_that_it_may_pass_the_fence(models: Any, tenant: Tenant) -> None:
    fence_writes(tenant, "is being moved", models.settings)
    with models.as_tenant(tenant) as connection:
        pass_fence(connection, tenant.id)
        with pytest.raises(psycopg.Error, match="closed to writes"):
            connection.execute(insert(placement_of(tenant)))
    unfence(tenant, models.settings)


def test_a_tenant_neither_opens_itself_nor_closes_another(models: Any) -> None:
    ours, theirs = models.tenant(), models.tenant()
    suspend(ours, settings=models.settings)
    for statement in (
        "delete from saas.tenant_fences",
        "update saas.tenant_fences set reads = false",
        f"insert into saas.tenant_fences (tenant_id, reads, reason) values ('{theirs.id}', true, 'x')",
        "update saas.tenants set status = 'active'",
        "call platform.announce_fence()",
    ):
        with models.as_tenant(ours) as connection, pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement)
    with models.as_tenant(ours) as connection:
        # It is told why it is closed, and of nobody else.
        assert connection.execute("select tenant_id, reads from saas.tenant_fences").fetchall() == [(ours.id, True)]
    with models.as_tenant(theirs) as connection:
        assert connection.execute("select count(*) from saas.tenant_fences").fetchone() == (0,)


def test_one_fence_leaves_all_other_tenants_as_they_were(models: Any) -> None:
    closed, moved, open_ = models.tenant(), models.tenant(), models.tenant()
    suspend(closed, settings=models.settings)
    fence_writes(moved, "is being moved", models.settings)
    project(models, open_)
    with models.as_tenant(open_) as connection:
        assert connection.execute("select count(*) from saas.projects").fetchone() == (1,)
    unfence(moved, models.settings)


def test_when_the_fence_stands_no_writer_from_before_is_left(models: Any) -> None:
    tenant = models.tenant()
    writer = models.as_tenant(tenant)
    writer.execute(insert(placement_of(tenant)))
    with pytest.raises(WritersAtWorkError, match="still writes"):
        fence_writes(tenant, "is being moved", models.settings, writers_seconds=0.3)
    # The fence stands all the same, and who asks again waits for the one that is left.
    done = threading.Event()

    def fence() -> None:
        fence_writes(tenant, "is being moved", models.settings)
        done.set()

    waiting = threading.Thread(target=fence)
    waiting.start()
    assert not done.wait(0.3)
    writer.commit()
    waiting.join(30)
    assert done.is_set()
    writer.close()
    unfence(tenant, models.settings)


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_a_transaction_whose_snapshot_is_older_than_the_fence_does_not_write_past_it(
    models: Any, isolation: str
) -> None:
    tenant = models.tenant()
    for close in (
        lambda: fence_writes(tenant, "is being moved", models.settings),
        lambda: suspend(tenant, settings=models.settings),
    ):
        with routing.connect("na", "app", settings=models.settings) as writer:
            writer.execute(f"set transaction isolation level {isolation}".encode())
            writer.execute("select set_config('app.current_tenant', %s, true)", (str(tenant.id),))
            writer.execute("select count(*) from saas.projects")
            close()
            with pytest.raises(errors.SerializationFailure, match="closed since this transaction began"):
                writer.execute(insert(placement_of(tenant)))
            writer.rollback()
            # Begun after the fence, it is told of the fence itself.
            writer.execute(f"set transaction isolation level {isolation}".encode())
            writer.execute("select set_config('app.current_tenant', %s, true)", (str(tenant.id),))
            with pytest.raises(psycopg.Error, match="is closed"):
                writer.execute(insert(placement_of(tenant)))
        unfence(tenant, models.settings)


def test_a_bulk_load_waits_for_no_suspended_tenant_and_yields_to_one_that_is_moved(models: Any) -> None:
    suspended, moved, other = models.tenant(), models.tenant(), models.tenant()
    load = sql.SQL("insert into saas.projects (tenant_id, name) values ({}, 'bulk')")
    suspend(suspended, settings=models.settings)
    with models.connect("loader") as loader:
        loader.execute(load.format(other.id))
        loader.execute(load.format(suspended.id))
    fence_writes(moved, "is being moved", models.settings)
    with models.connect("loader") as loader:
        with pytest.raises(psycopg.Error, match="closed to writes"):
            loader.execute(load.format(other.id))
        # A load of one tenant says so, and concerns no other.
        with loader.transaction():
            loader.execute("select set_config('app.current_tenant', %s, true)", (str(other.id),))
            loader.execute(load.format(other.id))
    unfence(moved, models.settings)


def test_a_tenant_in_the_middle_of_something_is_neither_suspended_nor_resumed(models: Any) -> None:
    tenant = models.tenant()
    for status in ("provisioning", "moving", "erasing"):
        set_status(tenant, status, models.settings)
        for verb in (suspend, resume):
            with pytest.raises(TenantStateError, match=f"is {status}"):
                verb(tenant, settings=models.settings)
    with pytest.raises(TenantStateError, match="1 to 200"):
        suspend(tenant, "", models.settings)
    with pytest.raises(TenantStateError, match="no longer in its cell"):
        suspend(Tenant(uuid4(), "na", "x", "x", "free", "active", "shared"), settings=models.settings)


def test_every_table_that_tenants_write_has_its_fence(models: Any, tenant: Tenant) -> None:
    place = placement_of(tenant)
    with place.connect("superuser", models.settings) as connection:
        for relation in operational_relations():
            row = connection.execute(
                "select array_agg(tgname::text order by tgname) from pg_trigger where tgrelid = %s::regclass "
                "and tgname like 'fence%%' and tgenabled = 'O'",
                (place.relation(relation.name).as_string(connection),),
            ).fetchone()
            assert row == (["fence_writes", "fence_writes_snapshot"],), relation.name


def test_a_write_through_a_cascade_meets_the_fence_too(models: Any) -> None:
    tenant = models.tenant()
    models.execute(
        "with p as (insert into geo.users (email, region) values ('c@example.com', 'na') returning id) "
        "insert into saas.users (tenant_id, person_id, email) select %s, id, 'c@example.com' from p",
        (tenant.id,),
    )
    fence_writes(tenant, "is being erased", models.settings, reads=True)
    with models.as_tenant(tenant) as connection, pytest.raises(psycopg.Error, match="closed to writes"):
        connection.execute("delete from saas.users")
    with models.connect("loader") as loader, loader.transaction():
        pass_fence(loader, tenant.id)
        assert loader.execute("delete from saas.users where tenant_id = %s", (tenant.id,)).rowcount == 1
    unfence(tenant, models.settings)
