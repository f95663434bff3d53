"""``capstone residency``: what of residency is looked at on demand, beside the proofs."""

# ruff: noqa: PLC0415 -- as in cli.py: `capstone --help` waits for nothing

import json
from dataclasses import asdict
from typing import Annotated

import typer

residency_app = typer.Typer(no_args_is_help=True, help="What of residency is looked at on demand, beside the proofs.")


@residency_app.command()
def files(
    cell: Annotated[str | None, typer.Option(help="na, eu or apac; default: all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For a script.")] = False,
) -> None:
    """Search the servers' own files for people of other cells: what was deleted and is not overwritten yet.

    Exit code 0 nothing was found, 1 something was, with what ends it.
    """
    from orchestration.cells.regions import CELLS, parse_cell
    from orchestration.proofs.residency.dead_bytes import dead_bytes, describe
    from orchestration.settings import get_settings

    found = dead_bytes([parse_cell(cell)] if cell else CELLS, get_settings())
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
    elif not found:
        typer.echo("no file of a server holds a canary of another cell")
    else:
        for each in found:
            typer.echo(describe(each))
    raise typer.Exit(1 if found else 0)
