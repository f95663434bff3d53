"""The project's SQL macros rendered without dbt, and a transformer's connection to run what they generate."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import psycopg
import pytest
from psycopg.rows import TupleRow

from orchestration.cells import routing
from orchestration.engines.local import LocalEngines
from orchestration.settings import PROJECT_ROOT

Render = Callable[..., str]

DBT_PROJECT = PROJECT_ROOT / "dbt_project"


@pytest.fixture(scope="session")
def render() -> Render:
    """Return a function (file below macros/, macro's name, its arguments) -> SQL. dbt itself takes seconds a time."""
    environment = jinja2.Environment(
        extensions=["jinja2.ext.do"],
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - it is SQL
    )

    def macro(file: str, name: str, **arguments: Any) -> str:
        template = environment.from_string(Path(DBT_PROJECT / "macros" / file).read_text())
        return str(getattr(template.module, name)(**arguments)).strip()

    return macro


@pytest.fixture(scope="module")
def events(cells: LocalEngines) -> Iterator[psycopg.Connection[TupleRow]]:  # noqa: ARG001 -- has to be running
    """A transformer's connection with an empty temporary table of events, in the shape that staging gives them."""
    with routing.connect("na", "transformer", autocommit=True) as connection:
        connection.execute(
            "create temporary table stream (tenant_id uuid not null, user_id bigint, occurred_at timestamptz not null,"
            " event_type text not null, properties jsonb not null default '{}')"
        )
        yield connection
