"""`capstone tenant …`: the life of a tenant. Thin, as `orchestration/cli.py`: every verb calls a library function."""

# ruff: noqa: PLC0415 -- a verb imports what it needs: `capstone --help` must not wait for database drivers

import json
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console
    from rich.table import Table

    from orchestration.cells.journal import Progress
    from orchestration.cells.regions import Cell
    from orchestration.settings import Settings
    from orchestration.tenancy.exporting import Archived
    from orchestration.tenancy.registry import Tenant

EXIT_FAILED = 1

tenant_app = typer.Typer(
    help="The life of a tenant: made, looked at, closed, moved, exported, backed up, erased.", no_args_is_help=True
)

WhichArgument = Annotated[str, typer.Argument(help="The tenant: its id or its subdomain.")]
CellOption = Annotated[str | None, typer.Option("--cell", help="Only this cell: na, eu or apac.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


class TenantMistakeError(ValueError):
    """An option that is none of those there are."""


def settings_of_platform() -> "Settings":
    """Return the settings that every verb works with."""
    from orchestration.settings import get_settings

    return get_settings()


def parse_cell_option(name: str | None) -> "Cell | None":
    """Return the cell that ``--cell`` names, None if it was not given.

    Raises:
        UnknownCellError: it is none.
    """
    from orchestration.cells.regions import parse_cell

    return None if name is None else parse_cell(name)


def find_tenant(which: str, cell: str | None) -> "Tenant":
    """Return the tenant that a verb is about; see :func:`orchestration.tenancy.registry.find`."""
    from orchestration.tenancy.registry import find

    return find(which, parse_cell_option(cell), settings_of_platform())


def progress_to_stderr() -> "Progress":
    """Return a progress that prints a line per step, beside the result on standard output."""
    from orchestration.cells.journal import StepProgress

    def tell(progress: StepProgress) -> None:
        if progress.moment in ("finished", "passed"):
            typer.echo(progress.describe(), err=True)

    return tell


def _console() -> "Console":
    import sys

    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


def _table(title: str, columns: "Iterable[str]", rows: "Iterable[Iterable[object]]") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # A tenant's name is anybody's text.
        table.add_row(*(escape(str(value)) for value in row))
    return table


def _tenants_table(title: str, tenants: "Iterable[Tenant]") -> "Table":
    return _table(
        title,
        ("subdomain", "name", "cell", "plan", "model", "status", "id"),
        ((t.subdomain, t.name, t.cell, t.plan, t.model, t.status, t.id) for t in tenants),
    )


def _say(tenant: "Tenant", as_json: bool, **more: object) -> None:
    from orchestration.tenancy.showing import tenant_json

    if as_json:
        typer.echo(json.dumps({**tenant_json(tenant), **more}, indent=2))
    else:
        _console().print(_tenants_table("", [tenant]))


def _choice(option: str, value: str | None, known: "Iterable[str]") -> Any:
    if value is not None and value not in known:
        raise TenantMistakeError(f"unknown {option} {value!r}: one of {', '.join(known)} is needed")
    return value


@tenant_app.command("create")
def create(
    subdomain: Annotated[str, typer.Argument(help="Host name label of its shop, unique over all cells.")],
    *,
    name: Annotated[str, typer.Option("--name", help="For people, at most 100 characters.")],
    cell: Annotated[str, typer.Option("--cell", help="Where it is to live: na, eu or apac.")],
    plan: Annotated[str, typer.Option("--plan", help="Subscription tier.")] = "free",
    model: Annotated[
        str | None, typer.Option("--model", help="shared, schema or database; the plan's own unless given.")
    ] = None,
    tenant_id: Annotated[str | None, typer.Option("--id", help="Its id, a UUID; a new one unless given.")] = None,
    currency: Annotated[str | None, typer.Option("--currency", help="ISO 4217; the cell's unless given.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a tenant. Repeatable: one that is there as asked stays as it is, one that was half made is finished."""
    from uuid import UUID

    from orchestration.cells.regions import parse_cell
    from orchestration.tenancy.creating import TenantSpec, create_tenant
    from orchestration.tenancy.registry import MODELS, is_tenant_id

    if tenant_id is not None and not is_tenant_id(tenant_id):
        raise TenantMistakeError(f"id {tenant_id!r} is no UUID: leave it out for a new one")
    spec = TenantSpec(
        name=name,
        subdomain=subdomain,
        plan=plan,
        model=_choice("model", model, MODELS),
        id=UUID(tenant_id) if tenant_id else None,
        currency=currency,
    )
    created = create_tenant(parse_cell(cell), spec, settings_of_platform(), progress=progress_to_stderr())
    if not created.made:
        typer.echo("it was there already, as asked", err=True)
    _say(created.tenant, as_json, made=created.made)


@tenant_app.command("list")
def list_tenants(
    *,
    cell: CellOption = None,
    status: Annotated[str | None, typer.Option("--status", help="Only those of this status.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Only those of this model.")] = None,
    plan: Annotated[str | None, typer.Option("--plan", help="Only those on this plan.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, help="At most so many of each cell.")] = 1000,
    as_json: JsonOption = False,
) -> None:
    """List tenants. Exit code 1 when a cell could not be asked."""
    from orchestration.cells.endpoints import EndpointError
    from orchestration.cells.regions import CELLS
    from orchestration.cells.routing import CellUnavailableError
    from orchestration.tenancy.registry import MODELS, STATUSES, tenants
    from orchestration.tenancy.showing import tenant_json

    _choice("status", status, STATUSES)
    _choice("model", model, MODELS)
    only = parse_cell_option(cell)
    found: list[Tenant] = []
    silent: list[str] = []
    for each in [only] if only else CELLS:
        try:
            some = tenants(
                each,
                settings_of_platform(),
                status=cast("Any", status),
                model=cast("Any", model),
                plan=plan,
                most=most + 1,
            )
        except (CellUnavailableError, EndpointError) as error:
            silent.append(str(error))
            continue
        if len(some) > most:
            typer.echo(f"{each} has more than these {most}: --most shows more of them", err=True)
        found += some[:most]
    if as_json:
        typer.echo(json.dumps([tenant_json(tenant) for tenant in found], indent=2))
    else:
        _console().print(_tenants_table(f"{len(found)} tenants", found))
    for reason in silent:
        typer.echo(f"not asked: {reason}", err=True)
    if silent:
        raise typer.Exit(EXIT_FAILED)


@tenant_app.command("show")
def show_tenant(which: WhichArgument, cell: CellOption = None, as_json: JsonOption = False) -> None:
    """Show one tenant: where it lives, whether it is open, its plan's limits, its rows, what is being done to it."""
    from orchestration.tenancy.showing import show

    details = show(find_tenant(which, cell), settings_of_platform())
    if as_json:
        typer.echo(json.dumps(details.as_json(), indent=2))
        return
    facts = details.as_json()
    rows = facts.pop("rows")
    told = [(key, value if isinstance(value, str) else json.dumps(value)) for key, value in facts.items()]
    console = _console()
    console.print(_table(details.tenant.subdomain, ("", ""), told))
    console.print(_table("rows", ("relation", "rows"), rows.items()))


@tenant_app.command("suspend")
def suspend_tenant(
    which: WhichArgument,
    cell: CellOption = None,
    reason: Annotated[
        str | None, typer.Option("--reason", help="What its requests are told; nothing personal.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Close a tenant to every request, in the database. Its rows stay."""
    from orchestration.tenancy.suspension import SUSPENDED, suspend

    _say(
        suspend(find_tenant(which, cell), reason if reason is not None else SUSPENDED, settings_of_platform()), as_json
    )


@tenant_app.command("resume")
def resume_tenant(which: WhichArgument, cell: CellOption = None, as_json: JsonOption = False) -> None:
    """Open a suspended tenant again."""
    from orchestration.tenancy.suspension import resume

    _say(resume(find_tenant(which, cell), settings_of_platform()), as_json)


@tenant_app.command("versions")
def tenant_versions(cell: CellOption = None, as_json: JsonOption = False) -> None:
    """Who is at which migration, of tenants with schemas or a database of their own. Exit code 1 when one is behind."""
    from orchestration.cells.regions import CELLS
    from orchestration.tenancy.tenant_migrations import versions

    only = parse_cell_option(cell)
    found = [each for one in ([only] if only else CELLS) for each in versions(one, settings_of_platform())]
    if as_json:
        typer.echo(
            json.dumps(
                [
                    {
                        "id": str(each.tenant.id),
                        "cell": each.tenant.cell,
                        "subdomain": each.tenant.subdomain,
                        "model": each.tenant.model,
                        "versions": dict(each.versions),
                        "pending": each.pending,
                        "problem": each.problem,
                    }
                    for each in found
                ],
                indent=2,
            )
        )
    else:
        rows = (
            (
                each.tenant.subdomain,
                each.tenant.cell,
                each.tenant.model,
                ", ".join(f"{domain} {version:03}" for domain, version in each.versions.items()),
                each.problem or (f"{each.pending} behind" if each.pending else "up to date"),
            )
            for each in found
        )
        _console().print(_table(f"{len(found)} tenants", ("subdomain", "cell", "model", "at", "state"), rows))
    if any(each.pending or each.problem for each in found):
        raise typer.Exit(EXIT_FAILED)


@tenant_app.command("migrate")
def migrate_all(cell: CellOption = None) -> None:
    """Bring every tenant's own schemas and database to what its cell has. Repeatable; `capstone up` does it too."""
    from orchestration.cells.regions import CELLS
    from orchestration.tenancy.tenant_migrations import migrate_tenants

    only = parse_cell_option(cell)
    for each in [only] if only else CELLS:
        done = migrate_tenants(each, settings_of_platform(), report=lambda line: typer.echo(line, err=True))
        typer.echo(f"{each}: {done} migrations applied")


def _say_archived(archived: "Archived", as_json: bool) -> None:
    manifest = archived.manifest
    if as_json:
        said = {
            "path": str(archived.path),
            "tenant": str(manifest.tenant_id),
            "cell": manifest.cell,
            "taken_at": manifest.taken_at,
            "expires_at": manifest.expires_at,
            "rows": {each.relation: each.rows for each in manifest.files},
            "left_out": manifest.left_out,
        }
        typer.echo(json.dumps(said, indent=2))
        return
    typer.echo(f"{archived.path}: {manifest.rows} rows of {len(manifest.files)} relations, until {manifest.expires_at}")


@tenant_app.command("move")
def move(
    which: WhichArgument,
    *,
    to_cell: Annotated[
        str | None, typer.Option("--to-cell", help="na, eu or apac; the present one unless given.")
    ] = None,
    to_model: Annotated[
        str | None, typer.Option("--to-model", help="shared, schema or database; the present one unless given.")
    ] = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Give an unfinished move up, until the switch.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Move a tenant to another cell, another model, or both. Killed, it goes on when it is repeated."""
    from orchestration.tenancy.moving import move_tenant, parse_model

    moved = move_tenant(
        which,
        to_cell=parse_cell_option(to_cell),
        to_model=parse_model(to_model),
        rollback=rollback,
        settings=settings_of_platform(),
        progress=progress_to_stderr(),
    )
    _say(moved, as_json)


@tenant_app.command("export")
def export(
    which: Annotated[str, typer.Argument(help="The tenant: its id or its subdomain; with --verify an export's path.")],
    *,
    cell: CellOption = None,
    verify: Annotated[bool, typer.Option("--verify", help="Check an export that is there instead.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Export all that is a tenant's own as CSV with a manifest, or check an export to the byte."""
    from pathlib import Path

    from orchestration.tenancy.exporting import Archived, export_tenant, verify_export

    if verify:
        _say_archived(Archived(Path(which), verify_export(Path(which))), as_json)
        return
    tenant = find_tenant(which, cell)
    _say_archived(export_tenant(tenant, settings=settings_of_platform(), progress=progress_to_stderr()), as_json)


@tenant_app.command("backup")
def backup(
    which: WhichArgument,
    *,
    cell: CellOption = None,
    days: Annotated[int, typer.Option("--days", min=1, max=30, help="Days after which it is removed.")] = 30,
    as_json: JsonOption = False,
) -> None:
    """Back one tenant up; its cell's expired backups are removed."""
    from orchestration.tenancy.backup import backup_tenant

    tenant = find_tenant(which, cell)
    done = backup_tenant(tenant, settings=settings_of_platform(), progress=progress_to_stderr(), kept_days=days)
    _say_archived(done, as_json)


@tenant_app.command("restore")
def restore(
    which: Annotated[
        str, typer.Argument(help="The tenant's id or subdomain, for its newest backup; or a backup's path.")
    ],
    *,
    cell: CellOption = None,
    even_if_erased: Annotated[
        bool, typer.Option("--even-if-erased", help="Also a tenant that was erased, from a copy kept elsewhere.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Replace exactly one tenant's rows by those of a backup, or bring a deleted tenant back."""
    from orchestration.tenancy.backup import choose_backup, restore_tenant

    only, settings = parse_cell_option(cell), settings_of_platform()
    path = choose_backup(which, cell=only, settings=settings)
    tenant = restore_tenant(
        path, cell=only, settings=settings, progress=progress_to_stderr(), even_if_erased=even_if_erased
    )
    _say(tenant, as_json, backup=str(path))


@tenant_app.command("erase")
def erase(
    which: WhichArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Erase a tenant from every store, with a proof and a certificate. Nothing brings it back."""
    from dataclasses import asdict

    from orchestration.tenancy import certificates
    from orchestration.tenancy.erasing import erase_tenant, subdomain_to_erase

    settings = settings_of_platform()
    subdomain = subdomain_to_erase(which, settings)
    if not yes:
        typed = typer.prompt(
            f"All of tenant {subdomain!r} is going to be erased. Type its subdomain to go on", err=True
        )
        if typed != subdomain:
            raise TenantMistakeError(f"{typed!r} is not {subdomain!r}: nothing was erased")
    certificate = erase_tenant(which, settings=settings, progress=progress_to_stderr())
    if as_json:
        typer.echo(json.dumps(asdict(certificate), indent=2))
    else:
        typer.echo(certificate.as_text(), nl=False)
        typer.echo(f"in {certificates.directory(certificate.cell, settings)}", err=True)
