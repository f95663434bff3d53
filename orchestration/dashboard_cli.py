"""`capstone dashboard`: a tenant's dashboard in the terminal. Thin, as `orchestration/cli.py`."""

# ruff: noqa: PLC0415 -- a verb imports what it needs: `capstone --help` must not wait for database drivers

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from orchestration.dashboard.answers import Answer
    from orchestration.dashboard.queries import Question


def dashboard(
    name: Annotated[str | None, typer.Argument(help="Which query; all that there are, unless given.")] = None,
    *,
    tenant: Annotated[str | None, typer.Option("--tenant", help="The tenant: its id or its subdomain.")] = None,
    cell: Annotated[str | None, typer.Option("--cell", help="Only if it lives in this cell: na, eu or apac.")] = None,
    at: Annotated[
        str | None, typer.Option("--at", help="As of this moment, ISO 8601 with a zone; now, unless given.")
    ] = None,
    last: Annotated[int | None, typer.Option("--last", help="How many minutes, hours, days or weeks.")] = None,
    event_type: Annotated[str | None, typer.Option("--type", help="Only events of this type.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="How many of the most frequent.")] = None,
    funnel: Annotated[str | None, typer.Option("--funnel", help="A configured funnel.")] = None,
    cohort: Annotated[str | None, typer.Option("--cohort", help="A configured cohort.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Ask the dashboard's queries as a tenant's request would, in its context; without --tenant list them."""
    from orchestration.dashboard.queries import NAMES, DashboardError, Question, find

    if name is not None:
        find(name)
    if tenant is None:
        if name is not None:
            raise DashboardError(f"whose {name}? give --tenant, an id or a subdomain")
        _list(as_json=as_json)
        return
    if name is None and any(option is not None for option in (last, event_type, limit, funnel, cohort)):
        raise DashboardError("options go with one query: name it, or leave them out")
    moment = _moment(at)
    questions = [
        Question(each, moment, last=last, event_type=event_type, limit=limit, funnel=funnel, cohort=cohort)
        for each in ([name] if name else NAMES)
    ]
    answers = _asked(tenant, cell, questions)
    if as_json:
        whole = [answer.as_json() for answer in answers]
        typer.echo(json.dumps(whole[0] if name else whole, indent=2))
    else:
        _print(answers)


def _moment(text: str | None) -> "datetime | None":
    from datetime import datetime

    from orchestration.dashboard.queries import DashboardError

    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise DashboardError(f"--at is {text!r}: a moment such as 2026-03-02T09:00:00Z is needed") from None


def _asked(which: str, cell: str | None, questions: "Sequence[Question]") -> "list[Answer]":
    from orchestration.cells.cell_pools import PoolLimits
    from orchestration.cells.postgres_cells import PostgresCells
    from orchestration.cells.region_choice import Subject
    from orchestration.dashboard.answers import ask_all

    # Not metered: an operator who looks is no use of the service by the tenant.
    with PostgresCells(limits=PoolLimits(size=1), metered=False) as cells:
        cells.choose(Subject(tenant=which, region=cell))
        tenant, pool = cells.pool_of(which)
        return ask_all(pool, tenant.id, questions)


def _list(*, as_json: bool) -> None:
    from orchestration.dashboard.queries import QUERIES

    queries = QUERIES.values()
    if as_json:
        typer.echo(
            json.dumps(
                [
                    {
                        "name": q.name,
                        "description": q.description,
                        "sources": list(q.sources),
                        "options": list(q.options),
                    }
                    for q in queries
                ],
                indent=2,
            )
        )
        return
    rows = [(q.name, q.description, ", ".join(q.sources), ", ".join(q.options)) for q in queries]
    print_table("", ("name", "what it shows", "answered from", "options"), rows)


def _print(answers: "list[Answer]") -> None:
    for answer in answers:
        print_table(f"{answer.query.name}: {answer.query.description}", answer.columns, answer.rows)


def _shown(value: object) -> str:
    from datetime import UTC, datetime

    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def print_table(title: str, columns: "Sequence[str]", rows: "Iterable[Sequence[object]]") -> None:
    """Print rows as a table as wide as the terminal."""
    import sys

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # A page's address is anybody's text.
        table.add_row(*(escape(_shown(value)) for value in row))
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(table)
