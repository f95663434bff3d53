"""The life of a tenant in Dagster: a job for every verb of `capstone tenant`, each step of it a line in the run's log.

A run that was killed is repeated with the same configuration: the journal of the cell knows how far it got.
"""

from collections.abc import Callable
from typing import Any

import dagster as dg

from orchestration.cells.regions import CELLS, parse_cell
from orchestration.defs.operations.verb_job import Metadata, step_logger, verb_job


class TenantConfig(dg.Config):
    """Which tenant: its id or its subdomain."""

    tenant: str


class CreateConfig(dg.Config):
    """A tenant to be made; see `capstone tenant create`."""

    subdomain: str
    name: str
    cell: str
    plan: str = "free"
    model: str | None = None


class SuspendConfig(TenantConfig):
    """Whom, and what its requests are told; nothing personal."""

    reason: str = "suspended by the operator"


class MoveConfig(TenantConfig):
    """Whom, and where to: a cell, a model, or both; or that an open move is to be rolled back."""

    to_cell: str | None = None
    to_model: str | None = None
    rollback: bool = False


class EraseConfig(TenantConfig):
    """Whom; `confirm` has to repeat `tenant`, for nothing brings it back."""

    confirm: str


class RestoreConfig(TenantConfig):
    """Whom, by id, subdomain or the backup's name: the newest backup of it."""

    even_if_erased: bool = False


def _find(which: str) -> Any:
    from orchestration.tenancy.registry import find  # noqa: PLC0415 -- drivers load in the run

    return find(which)


def _said(tenant: Any) -> Metadata:
    return {"cell": tenant.cell, "model": tenant.model, "status": tenant.status}


def _create(context: dg.OpExecutionContext, config: CreateConfig) -> Metadata:
    from orchestration.tenancy.creating import TenantSpec, create_tenant  # noqa: PLC0415
    from orchestration.tenancy.registry import MODELS, TenantError  # noqa: PLC0415

    if config.model is not None and config.model not in MODELS:
        raise TenantError(f"unknown model {config.model!r}: one of {', '.join(MODELS)} is needed")
    spec = TenantSpec(config.name, config.subdomain, config.plan, config.model)  # type: ignore[arg-type]
    created = create_tenant(parse_cell(config.cell), spec, progress=step_logger(context))
    return {**_said(created.tenant), "made": created.made}


def _suspend(_: dg.OpExecutionContext, config: SuspendConfig) -> Metadata:
    from orchestration.tenancy.suspension import suspend  # noqa: PLC0415

    return _said(suspend(_find(config.tenant), config.reason))


def _resume(_: dg.OpExecutionContext, config: TenantConfig) -> Metadata:
    from orchestration.tenancy.suspension import resume  # noqa: PLC0415

    return _said(resume(_find(config.tenant)))


def _move(context: dg.OpExecutionContext, config: MoveConfig) -> Metadata:
    from orchestration.tenancy.moving import move_tenant, parse_model  # noqa: PLC0415

    moved = move_tenant(
        config.tenant,
        to_cell=None if config.to_cell is None else parse_cell(config.to_cell),
        to_model=parse_model(config.to_model),
        rollback=config.rollback,
        progress=step_logger(context),
    )
    return _said(moved)


def _export(context: dg.OpExecutionContext, config: TenantConfig) -> Metadata:
    from orchestration.tenancy.exporting import export_tenant  # noqa: PLC0415

    return _archived(export_tenant(_find(config.tenant), progress=step_logger(context)))


def _backup(context: dg.OpExecutionContext, config: TenantConfig) -> Metadata:
    from orchestration.tenancy.backup import backup_tenant  # noqa: PLC0415

    return _archived(backup_tenant(_find(config.tenant), progress=step_logger(context)))


def _archived(archived: Any) -> Metadata:
    manifest = archived.manifest
    return {
        "path": str(archived.path),
        "rows": manifest.rows,
        "files": len(manifest.files),
        "until": manifest.expires_at,
    }


def _restore(context: dg.OpExecutionContext, config: RestoreConfig) -> Metadata:
    from orchestration.tenancy.backup import choose_backup, restore_tenant  # noqa: PLC0415

    path = choose_backup(config.tenant)
    context.log.info(f"restoring {path.name}")
    return _said(restore_tenant(path, progress=step_logger(context), even_if_erased=config.even_if_erased))


def _erase(context: dg.OpExecutionContext, config: EraseConfig) -> Metadata:
    from orchestration.tenancy.erasing import EraseError, erase_tenant  # noqa: PLC0415

    if config.confirm != config.tenant:
        raise EraseError("`confirm` does not repeat `tenant`: nothing was erased")
    certificate = erase_tenant(config.tenant, progress=step_logger(context))
    return {
        "certificate": certificate.certificate_id,
        **{f"{name} deleted": n for name, n in certificate.deleted.items()},
    }


_VERBS: dict[str, tuple[type[dg.Config], Callable[[dg.OpExecutionContext, Any], Metadata], str]] = {
    "create": (CreateConfig, _create, "Makes a tenant in the model of its plan, or goes on making it."),
    "suspend": (SuspendConfig, _suspend, "Closes a tenant to every request, in the database."),
    "resume": (TenantConfig, _resume, "Opens a suspended tenant again."),
    "move": (MoveConfig, _move, "Moves a tenant to another cell or model, proven row by row, or rolls a move back."),
    "export": (TenantConfig, _export, "Exports a tenant as CSV with a manifest, from one snapshot."),
    "backup": (TenantConfig, _backup, "Backs one tenant up; removes its cell's expired backups first."),
    "restore": (RestoreConfig, _restore, "Replaces a tenant's rows by those of its newest backup."),
    "erase": (EraseConfig, _erase, "Erases a tenant from every store, with a proof and a certificate."),
}


def tenant_job(verb: str) -> dg.JobDefinition:
    """Return the job of a verb of `capstone tenant`."""
    return verb_job("tenant", verb, *_VERBS[verb])


@dg.op(description="Removes exports and backups of tenants and bundles of persons whose time is over, in every cell.")
def remove_expired_archives(context: dg.OpExecutionContext) -> None:
    """Remove what has expired."""
    from orchestration.persons import bundle  # noqa: PLC0415
    from orchestration.settings import get_settings  # noqa: PLC0415
    from orchestration.tenancy.backup import remove_expired  # noqa: PLC0415

    counts = {
        f"{kind}s of {cell}": remove_expired(kind, cell)  # type: ignore[arg-type]
        for kind in ("export", "backup")
        for cell in CELLS
    }
    counts |= {f"bundles of {cell}": bundle.remove_expired(cell, get_settings()) for cell in CELLS}
    context.add_output_metadata(dict(counts))


@dg.job(
    executor_def=dg.in_process_executor,
    description="Ends exports, backups and bundles of persons at the date that their manifests say.",
)
def tenant_archives_expiry() -> None:
    """Remove expired archives."""
    remove_expired_archives()


@dg.definitions
def defs() -> dg.Definitions:
    """Return the jobs of all verbs, and the nightly end of old archives."""
    return dg.Definitions(
        jobs=[*(tenant_job(verb) for verb in _VERBS), tenant_archives_expiry],
        schedules=[
            dg.ScheduleDefinition(
                name="tenant_archives_expiry_nightly",
                job=tenant_archives_expiry,
                cron_schedule="35 3 * * *",
                execution_timezone="UTC",
                default_status=dg.DefaultScheduleStatus.RUNNING,
            )
        ],
    )
