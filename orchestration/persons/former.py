"""Persons and shoppers whom a cell has no more: remembered by digests, so that nothing later brings them back."""

from collections.abc import Collection, Iterable
from typing import Any, Literal
from uuid import UUID

import psycopg

from orchestration.persons.digests import user_digest

Connection = psycopg.Connection[Any]
Why = Literal["moved", "erased"]
User = tuple[UUID, int]
# Tenant and digest of former shoppers.
KnownUsers = frozenset[tuple[UUID, str]]


def record_person(connection: Connection, person_id: UUID, why: Why) -> None:
    """Record that the cell has the person no more; erased stays erased."""
    connection.execute(
        "insert into platform.former_persons as f (digest, why) values (platform.person_digest(%s), %s) "
        "on conflict (digest) do update set why = excluded.why where f.why <> 'erased'",
        (person_id, why),
    )


def forget_person(connection: Connection, person_id: UUID) -> None:
    """Remove the record of a person who lives here again."""
    connection.execute("delete from platform.former_persons where digest = platform.person_digest(%s)", (person_id,))


def former_persons(connection: Connection, persons: Iterable[UUID]) -> frozenset[UUID]:
    """Return those of ``persons`` who were erased or moved away."""
    row = connection.execute("select exists (select from platform.former_persons)").fetchone()
    if row is None or not row[0]:
        return frozenset()
    rows = connection.execute(
        "select id from unnest(%s::uuid[]) as id where platform.is_former_person(id)", (list(persons),)
    )
    return frozenset(person for (person,) in rows)


def record_users(connection: Connection, users: Iterable[User]) -> None:
    """Record shoppers whose events are not taken any more; a second call changes nothing."""
    named = list(users)
    connection.execute(
        "insert into analytics.former_users (tenant_id, digest) select t, analytics.user_digest(t, u) "
        "from unnest(%s::uuid[], %s::bigint[]) as g (t, u) on conflict do nothing",
        ([tenant for tenant, _ in named], [user for _, user in named]),
    )


def forget_users(connection: Connection, users: Iterable[User]) -> None:
    """Remove those records: a move was rolled back."""
    named = list(users)
    connection.execute(
        "delete from analytics.former_users as f using unnest(%s::uuid[], %s::bigint[]) as g (t, u) "
        "where f.tenant_id = g.t and f.digest = analytics.user_digest(g.t, g.u)",
        ([tenant for tenant, _ in named], [user for _, user in named]),
    )


def former_users(connection: Connection, tenants: Collection[UUID]) -> KnownUsers:
    """Return tenant and digest of the former shoppers of ``tenants``, as a writer of events has to know them.

    Takes the lock that writers of events share first: who records a former shopper waits for whoever looked before.
    """
    connection.execute("select pg_advisory_xact_lock_shared(platform.fence_key(null))")
    rows = connection.execute(
        "select tenant_id, digest from analytics.former_users where tenant_id = any(%s)", (list(tenants),)
    )
    return frozenset((tenant, digest) for tenant, digest in rows)


def is_former(known: KnownUsers, tenant_id: UUID, user_id: int) -> bool:
    """Return whether a shopper is one of those that :func:`former_users` returned."""
    return (tenant_id, user_digest(tenant_id, user_id)) in known
