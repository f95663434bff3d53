"""Logins of tenants that have a database of their own: their passwords, and connections as them.

A password is generated once and kept in a file of its own in the state directory, mode 0600, which only the home's
owner reads: a database that comes back after its server was lost gets its login's old password.
"""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg.rows import TupleRow

from orchestration.cells import endpoints, routing
from orchestration.cells.regions import Cell
from orchestration.engines.passwords import PASSWORD_BYTES, owner_of_home
from orchestration.settings import Settings


def logins_directory(settings: Settings) -> Path:
    """Return the directory, mode 0700, with one password file per login."""
    return settings.home / "tenant_logins"


def ensure_password(login: str, settings: Settings) -> str:
    """Return the password of ``login``, generated if it has none yet; of two that generate it at once one wins."""
    directory = logins_directory(settings)
    if not directory.exists():
        directory.mkdir(mode=0o700, exist_ok=True)
        owner = owner_of_home(settings.home)
        if owner is not None:
            os.chown(directory, *owner)
    with suppress(FileExistsError):
        _create(directory / login, secrets.token_urlsafe(PASSWORD_BYTES), settings)
    return password(login, settings)


def _create(path: Path, content: str, settings: Settings) -> None:
    if path.exists():
        return
    # Linked when it is whole: nobody reads half of it, and who comes second finds it there.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            owner = owner_of_home(settings.home)
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        Path(temporary).unlink()


def password(login: str, settings: Settings) -> str:
    """Return the password of ``login``.

    Raises:
        EndpointError: it has none here.
    """
    try:
        return (logins_directory(settings) / login).read_text(encoding="ascii")
    except FileNotFoundError:
        raise endpoints.EndpointError(
            f"{logins_directory(settings)} holds no password for {login!r}: `capstone tenant migrate` makes one"
        ) from None


def forget_password(login: str, settings: Settings) -> None:
    """Remove the password of ``login``, if there is one."""
    (logins_directory(settings) / login).unlink(missing_ok=True)


def dsn(cell: Cell, login: str, settings: Settings) -> str:
    """Return the connection URL of ``login`` in its database, which has its name; it holds the password.

    Raises:
        EndpointError: the cell's address or the password is not known.
    """
    where = endpoints.postgres(cell, settings)
    secret = quote(password(login, settings), safe="")
    query = f"?{where.query}" if where.query else ""
    return f"postgresql://{login}:{secret}@{where.host}:{where.port}/{login}{query}"


def connect(cell: Cell, login: str, settings: Settings, *, autocommit: bool = False) -> psycopg.Connection[TupleRow]:
    """Open a connection as ``login`` to its database.

    Raises:
        CellUnavailableError: the server does not answer or refuses the login.
        EndpointError: the password is not known.
    """
    return routing.connect_as(cell, login, dsn(cell, login, settings), autocommit=autocommit, settings=settings)
