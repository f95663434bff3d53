"""Passwords of the roles inside a server, set without ever sending one in clear.

A statement that sets a password may reach the server's log; what is sent is the SCRAM verifier computed here, which
proves a password and does not contain it.
"""

import base64
import hashlib
import hmac
from typing import get_args

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from orchestration.cells import endpoints
from orchestration.cells.endpoints import Role
from orchestration.settings import Settings

# The roles of a cell that log in; the superuser's is the engine's to set, dagster and reader are the control cluster's.
CELL_LOGINS: tuple[Role, ...] = tuple(
    role for role in get_args(Role) if role != "superuser" and role not in endpoints.CONTROL_ROLES
)
# Those of database ``global``: the publisher has the same name and password on both sides of the border.
GLOBAL_LOGINS: tuple[Role, ...] = ("publisher", "reader")

_VERIFIER = "select rolpassword from pg_catalog.pg_authid where rolname = %s"


def verifier_matches(verifier: str | None, password: str) -> bool:
    """Return whether a SCRAM-SHA-256 verifier, as PostgreSQL stores it, is that of ``password`` (RFC 5803)."""
    try:
        scheme, iterations_and_salt, keys = (verifier or "").split("$")
        iterations, salt = iterations_and_salt.split(":")
        stored_key = base64.b64decode(keys.split(":")[0])
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(iterations))
    except ValueError:
        return False
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return scheme == "SCRAM-SHA-256" and hmac.compare_digest(hashlib.sha256(client_key).digest(), stored_key)


def set_password(connection: psycopg.Connection[TupleRow], role: str, password: str) -> bool:
    """Give ``role`` this password unless it has it; returns whether anything changed.

    Needs a connection of the administrator. One who may not read verifiers, as on a managed server, sets it always.

    Raises:
        psycopg.Error: the role does not exist, or the connection may not change it.
    """
    readable = connection.execute("select has_table_privilege('pg_catalog.pg_authid', 'select')").fetchone()
    if readable is not None and readable[0]:
        row = connection.execute(_VERIFIER, (role,)).fetchone()
        if row is not None and verifier_matches(row[0], password):
            return False
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(verifier)))
    return True


def set_role_passwords(connection: psycopg.Connection[TupleRow], settings: Settings) -> tuple[list[Role], list[Role]]:
    """Give every login of a cell the password kept in the secrets file.

    Returns:
        Those that changed, and those whose password this administrator may not set (PostgreSQL 15 lets only a
        superuser change a role that replicates): whether they have it can only be found out by logging in.

    Raises:
        EndpointError: a role has no password there.
    """
    changed: list[Role] = []
    refused: list[Role] = []
    for role in CELL_LOGINS:
        password = endpoints.password(role, settings)
        try:
            if set_password(connection, role, password):
                changed.append(role)
        except psycopg.errors.InsufficientPrivilege:
            refused.append(role)
    return changed, refused
