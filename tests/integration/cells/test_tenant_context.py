"""A tenant's context on a real connection: it ends with the block, whatever happens in it."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from orchestration.cells import routing
from orchestration.cells.tenant_context import TenantContextError, tenant_context
from orchestration.engines.local import LocalEngines

TENANT = UUID("00000000-0000-0000-0000-00000000000a")
CONTEXT = "select platform.current_tenant()"


@pytest.fixture
def app(cells: LocalEngines) -> Iterator[psycopg.Connection[Any]]:
    """A connection as a tenant's request has it."""
    del cells  # only has to run
    with routing.connect("na", "app") as connection:
        yield connection


def current(connection: psycopg.Connection[Any]) -> object:
    row = connection.execute(CONTEXT).fetchone()
    connection.rollback()
    return row[0] if row else None


@pytest.mark.parametrize("tenant", [TENANT, str(TENANT), str(TENANT).upper(), TENANT.hex])
def test_the_block_runs_in_the_name_of_the_tenant(app: psycopg.Connection[Any], tenant: UUID | str) -> None:
    with tenant_context(app, tenant) as connection:
        assert connection is app
        assert app.execute(CONTEXT).fetchone() == (TENANT,)
    assert current(app) is None


def test_it_works_on_a_connection_in_autocommit_mode(app: psycopg.Connection[Any]) -> None:
    app.autocommit = True
    with tenant_context(app, TENANT):
        assert app.execute(CONTEXT).fetchone() == (TENANT,)
    assert current(app) is None


def test_an_exception_ends_the_context_and_undoes_the_work(app: psycopg.Connection[Any]) -> None:
    with pytest.raises(KeyError), tenant_context(app, TENANT):
        raise KeyError
    assert current(app) is None
    with pytest.raises(psycopg.errors.DivisionByZero), tenant_context(app, TENANT):
        app.execute("select 1 / 0")
    assert current(app) is None


def test_the_next_borrower_of_the_connection_has_its_own_tenant_or_none(app: psycopg.Connection[Any]) -> None:
    for _ in range(3):
        tenant = uuid4()
        with tenant_context(app, tenant):
            assert app.execute(CONTEXT).fetchone() == (tenant,)
        assert current(app) is None


@pytest.mark.parametrize("tenant", ["", "shop", "00000000-0000-0000-0000-00000000000", None, 7])
def test_what_is_no_uuid_is_refused_before_anything_is_sent(app: psycopg.Connection[Any], tenant: Any) -> None:
    with pytest.raises(TenantContextError, match="a UUID is needed"), tenant_context(app, tenant):
        pytest.fail("the block must not run")


def test_an_open_transaction_is_refused_for_the_context_would_outlive_the_block(
    app: psycopg.Connection[Any],
) -> None:
    app.execute("select 1")
    with pytest.raises(TenantContextError, match="already open"), tenant_context(app, TENANT):
        pytest.fail("the block must not run")
    app.rollback()
    with tenant_context(app, TENANT):
        with pytest.raises(TenantContextError, match="already open"), tenant_context(app, uuid4()):
            pytest.fail("the block must not run")
        assert app.execute(CONTEXT).fetchone() == (TENANT,)


def test_a_session_that_carries_a_tenant_is_refused(app: psycopg.Connection[Any]) -> None:
    app.execute("select set_config('app.current_tenant', %s, false)", (str(TENANT),))
    app.commit()
    with pytest.raises(TenantContextError, match="close the connection"), tenant_context(app, uuid4()):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("role", ["loader", "transformer", "auditor", "migrator", "superuser"])
def test_a_role_that_the_context_would_not_restrict_is_refused(app: psycopg.Connection[Any], role: Any) -> None:
    del app  # the cells run
    with routing.connect("na", role) as connection:
        with pytest.raises(TenantContextError, match="bypasses row security"), tenant_context(connection, TENANT):
            pytest.fail("the block must not run")
        assert current(connection) is None
