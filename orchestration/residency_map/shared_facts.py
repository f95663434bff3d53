"""What the stores hold that all cells share: nothing regional may be there, so each is shown with its amount."""

import psycopg

from orchestration.cells import endpoints, routing
from orchestration.cells.stores import Store, stores
from orchestration.residency_map.cell_facts import Found, of_files
from orchestration.settings import Settings

# Estimates of the server, as all that is wanted is whether there is much or little.
_ROWS = "select coalesce(sum(n_live_tup), 0)::bigint from pg_catalog.pg_stat_user_tables"

# Store of medium database -> the database on the control cluster that it is.
_DATABASES = {"run records": "dagster", "global aggregates": "global"}


def gather(settings: Settings) -> tuple[dict[str, Found], dict[str, str]]:
    """Return what there is of each shared store, and why a store could not be looked at."""
    found: dict[str, Found] = {}
    unseen: dict[str, str] = {}
    for store in stores():
        if store.scope != "shared":
            continue
        try:
            found[store.name] = _found(store, settings)
        except (routing.CellUnavailableError, endpoints.EndpointError, psycopg.Error, OSError, KeyError) as error:
            unseen[store.name] = f"cannot be looked at ({type(error).__name__})"
    return found, unseen


def _found(store: Store, settings: Settings) -> Found:
    if store.medium == "files":
        return of_files(store.paths("na", settings))
    with routing.connect(
        "control",
        "superuser",
        database=_DATABASES[store.name],
        autocommit=True,
        application_name="capstone residency map",
        settings=settings,
    ) as connection:
        row = connection.execute(_ROWS.encode()).fetchone()
    return Found(int(row[0]) if row is not None else 0, "rows", estimated=True)
