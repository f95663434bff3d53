"""`capstone global`: the cells' published aggregates side by side. Thin, as `orchestration/cli.py`."""

# ruff: noqa: PLC0415 -- a verb imports what it needs: `capstone --help` must not wait for database drivers

import json
from typing import Annotated

import typer


def show_global(
    dataset: Annotated[
        str | None, typer.Argument(help="funnel, cohorts or revenue; how each cell stands, unless given.")
    ] = None,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows a region, newest first.")] = 14,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show the global marts: how old each cell's part is and what was held back, or a dataset's rows."""
    from dataclasses import asdict

    from orchestration.publishing import standing

    with standing.connect() as connection:
        rows = (
            [asdict(each) for each in standing.standings(connection)]
            if dataset is None
            else standing.union_rows(connection, dataset, limit)
        )
    if as_json:
        typer.echo(json.dumps(rows, indent=2, default=str))
        return
    from orchestration.dashboard_cli import print_table

    columns = list(rows[0]) if rows else []
    print_table("", columns, [[row[column] for column in columns] for row in rows])
