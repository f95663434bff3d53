"""Tenants that a cell has no more: known by a salted digest alone, so that no load brings one back."""

import hashlib
import secrets
from collections.abc import Iterable
from typing import Any, Literal
from uuid import UUID

import psycopg

Why = Literal["moved", "erased"]

_SALT_BYTES = 16


def new_salt() -> str:
    """Return a salt for one record."""
    return secrets.token_hex(_SALT_BYTES)


def tenant_digest(tenant_id: UUID, salt: str) -> str:
    """Return the digest under which a tenant is recorded: it proves an id that somebody names, and names none."""
    return hashlib.sha256(f"{salt}{tenant_id}".encode()).hexdigest()


def record(connection: psycopg.Connection[Any], tenant_id: UUID, why: Why, salt: str) -> None:
    """Record that the cell has the tenant no more; a second call changes nothing."""
    connection.execute(
        "insert into platform.former_tenants (digest, salt, why) select %s, %s, %s "
        "where not platform.is_former_tenant(%s) on conflict do nothing",
        (tenant_digest(tenant_id, salt), salt, why, tenant_id),
    )


def forget(connection: psycopg.Connection[Any], tenant_id: UUID) -> None:
    """Remove the record of a tenant that is to live here again."""
    connection.execute(
        "delete from platform.former_tenants "
        "where digest = encode(sha256(convert_to(salt || %s::text, 'UTF8')), 'hex')",
        (str(tenant_id),),
    )


def why_former(connection: psycopg.Connection[Any], tenant_id: UUID) -> Why | None:
    """Return why the cell has the tenant no more; None when it never had it or has it still."""
    row = connection.execute(
        "select why from platform.former_tenants where digest = encode(sha256(convert_to(salt || %s, 'UTF8')), 'hex')",
        (str(tenant_id),),
    ).fetchone()
    return row[0] if row else None


def departed(connection: psycopg.Connection[Any], tenants: Iterable[UUID]) -> frozenset[UUID]:
    """Return those of ``tenants`` that were moved away or erased."""
    rows = connection.execute(
        "select id from unnest(%s::uuid[]) as id where platform.is_former_tenant(id)", (list(tenants),)
    )
    return frozenset(tenant for (tenant,) in rows)
