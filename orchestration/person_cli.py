"""`capstone person …`: access, erasure, and another region of record. Thin: every verb calls a library function."""

# ruff: noqa: PLC0415 -- a verb imports what it needs: `capstone --help` must not wait for database drivers

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.tenant_cli import CellOption, JsonOption, parse_cell_option, progress_to_stderr, settings_of_platform

if TYPE_CHECKING:
    from uuid import UUID

    from orchestration.persons.consents import Consent
    from orchestration.settings import Settings

person_app = typer.Typer(
    help="A person's rights: access to what is kept, erasure, another region of record.", no_args_is_help=True
)

WhichArgument = Annotated[str | None, typer.Argument(help="The person's id, a UUID.", show_default=False)]
EmailOption = Annotated[
    str | None,
    typer.Option(
        "--email-from",
        help="Instead of the id: a file whose first line is the person's e-mail address, - for standard input. "
        "Needs --cell. On the command line an address would stay in the shell's history and in lists of processes.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class PersonMistakeError(ValueError):
    """Options that do not go together."""


def find_person(which: str | None, email_from: str | None, cell: str | None) -> "UUID":
    """Return whom a verb is about, by id or by e-mail address.

    Raises:
        PersonMistakeError: both are given, or neither, or an address without a cell.
        PersonError: it is no id, or nobody, or more than one person, has the address.
    """
    from orchestration.persons.whereabouts import find_by_email, parse_person

    if (which is None) == (email_from is None):
        raise PersonMistakeError("give the person's id, or --email-from with --cell")
    if which is not None:
        return parse_person(which)
    in_cell = parse_cell_option(cell)
    if in_cell is None:
        raise PersonMistakeError("an e-mail address names a person within one cell: give --cell")
    return find_by_email(_first_line(email_from or "-"), in_cell, settings_of_platform())


def _first_line(source: str) -> str:
    import sys

    if source != "-":
        try:
            with Path(source).open(encoding="utf-8") as file:
                return file.readline()
        except (OSError, UnicodeDecodeError) as error:
            raise PersonMistakeError(f"{source} cannot be read as text ({type(error).__name__})") from None
    if sys.stdin.isatty():
        answer: str = typer.prompt("E-mail address", hide_input=True, err=True)
        return answer
    return sys.stdin.readline()


@person_app.command("access")
def access(
    which: WhichArgument = None,
    *,
    email_from: EmailOption = None,
    cell: CellOption = None,
    verify: Annotated[Path | None, typer.Option("--verify", help="Check a bundle that is there instead.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write everything about one person, from every store, as JSON and CSV with a manifest."""
    from orchestration.persons import bundle
    from orchestration.persons.access import access_person

    if verify is not None:
        done = bundle.verify(verify)
    else:
        person = find_person(which, email_from, cell)
        done = access_person(person, settings=settings_of_platform(), progress=progress_to_stderr())
    if as_json:
        said: dict[str, Any] = {"path": str(done.path), "rows": done.rows, "expires_at": done.expires_at}
        typer.echo(json.dumps(said | {"files": {each.json: each.rows for each in done.files}}, indent=2))
    else:
        typer.echo(f"{done.path}: {done.rows} rows in {len(done.files)} files of each kind, until {done.expires_at}")


@person_app.command("erase")
def erase(
    which: WhichArgument = None,
    *,
    email_from: EmailOption = None,
    cell: CellOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Erase a person from every store, with a proof and a certificate. Nothing brings them back."""
    from dataclasses import asdict

    from orchestration.persons.erasing import erase_person
    from orchestration.tenancy import certificates

    settings = settings_of_platform()
    person = find_person(which, email_from, cell)
    if not yes:
        typed = typer.prompt("Everything about this person is going to be erased. Type their id to go on", err=True)
        if typed != str(person):
            raise PersonMistakeError("that is not the person's id: nothing was erased")
    certificate = erase_person(person, settings=settings, progress=progress_to_stderr())
    if as_json:
        typer.echo(json.dumps(asdict(certificate), indent=2))
    else:
        typer.echo(certificate.as_text(), nl=False)
        typer.echo(f"in {certificates.directory(certificate.cell, settings)}", err=True)
        _say_stale_days(settings)


def _consent(policy: str | None, given_at: str | None) -> "Consent | None":
    from datetime import UTC, datetime

    from orchestration.persons.consents import Consent

    if policy is None:
        if given_at is not None:
            raise PersonMistakeError("--consented-at belongs to --consent, the version of the policy")
        return None
    try:
        moment = datetime.fromisoformat(given_at) if given_at else datetime.now(UTC)
    except ValueError:
        raise PersonMistakeError("--consented-at takes a time as 2026-11-01T12:00:00+00:00") from None
    return Consent(policy, moment).checked()


def _into(pairs: list[str] | None) -> "dict[UUID, UUID] | None":
    """Return which account is carried into which tenant, each side a tenant's id or subdomain."""
    from orchestration.tenancy.registry import find

    if not pairs:
        return None
    found = {}
    for pair in pairs:
        old, separator, new = pair.partition("=")
        if not separator:
            raise PersonMistakeError(f"--into {pair!r} is no pair: OLD=NEW is needed, both tenants")
        found[find(old, None, settings_of_platform()).id] = find(new, None, settings_of_platform()).id
    return found


@person_app.command("move")
def move(
    which: WhichArgument = None,
    *,
    to_region: Annotated[str | None, typer.Option("--to-region", help="New region of record: na, eu or apac.")] = None,
    to_cell: Annotated[str | None, typer.Option("--to-cell", help="The region's own cell unless given.")] = None,
    consent: Annotated[
        str | None, typer.Option("--consent", help="Version of the policy that the person was shown and agreed to.")
    ] = None,
    consented_at: Annotated[
        str | None, typer.Option("--consented-at", help="When, with its time zone; now unless given.")
    ] = None,
    into: Annotated[
        list[str] | None,
        typer.Option("--into", help="OLD=NEW: carry the account as shopper into this tenant of the new cell."),
    ] = None,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Give an unfinished move up, until the person has arrived.")
    ] = False,
    email_from: EmailOption = None,
    cell: CellOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move a person to another region of record, with consent. Killed, it goes on when it is repeated."""
    from orchestration.persons.moving import move_person

    settings = settings_of_platform()
    moved = move_person(
        find_person(which, email_from, cell),
        to_region=to_region,
        to_cell=parse_cell_option(to_cell),
        consent=_consent(consent, consented_at),
        into=_into(into),
        rollback=rollback,
        settings=settings,
        progress=progress_to_stderr(),
    )
    if as_json:
        typer.echo(json.dumps({"person": str(moved.person_id), "region": moved.region, "cells": moved.cells}))
    else:
        typer.echo(f"{moved.person_id}: region {moved.region}, cell {', '.join(moved.cells)}")
        _say_stale_days(settings)


def _say_stale_days(settings: "Settings") -> None:
    """Say, beside the answer, which cells' figures are to be built again, and how that is done without the platform."""
    from orchestration.cells.endpoints import EndpointError
    from orchestration.cells.regions import CELLS
    from orchestration.cells.routing import CellUnavailableError
    from orchestration.tenancy.stale_days import stale_days

    for cell in CELLS:
        try:
            stale = stale_days(cell, settings)
        except (CellUnavailableError, EndpointError) as error:
            typer.echo(f"{cell}: whether figures are to be built again is not known: {error}", err=True)
            continue
        if stale.since is not None:
            typer.echo(stale.describe(), err=True)


@person_app.command("operations")
def operations(
    cell: CellOption = None,
    most: Annotated[int, typer.Option("--most", min=1, help="At most so many, the newest.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """What was done to persons: verbs, steps and counts, nobody's name; and whether figures wait to be built again."""
    from dataclasses import asdict

    from rich.console import Console
    from rich.table import Table

    from orchestration.cells.regions import CELLS
    from orchestration.persons.operations import list_operations

    only = parse_cell_option(cell)
    settings = settings_of_platform()
    found = list_operations([only] if only else CELLS, most=most, settings=settings)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], default=str, indent=2))
        return
    table = Table(title=f"{len(found)} operations", title_justify="left")
    for name in ("operation", "cell", "verb", "state", "step", "begun", "figures", "counts"):
        table.add_column(name, overflow="fold")
    for each in found:
        counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in each.counts.items())
        begun = f"{each.started_at:%Y-%m-%d %H:%M}"
        state, told = (each.state, each.step or "", begun, each.figures or ""), counts or each.error or ""
        table.add_row(str(each.operation_id), each.cell, each.verb, *state, told)
    Console(highlight=False).print(table)
    _say_stale_days(settings)
