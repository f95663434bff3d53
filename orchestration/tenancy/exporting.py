"""Export of a tenant: everything that is its own, as CSV with a manifest, for the tenant to take away."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from orchestration.cells.journal import Progress, Step, run_steps, silent
from orchestration.settings import Settings, get_settings
from orchestration.tenancy import archive
from orchestration.tenancy.archive import ArchiveError, Manifest
from orchestration.tenancy.registry import Tenant
from orchestration.tenancy.row_copy import Format
from orchestration.tenancy.steps import operation

# An export is for handing over, not for keeping: whoever asked has fetched it within a month.
EXPORT_KEPT_DAYS = 30


@dataclass(frozen=True)
class Archived:
    """A finished archive and what it holds."""

    path: Path
    manifest: Manifest


def export_tenant(
    tenant: Tenant, *, settings: Settings | None = None, progress: Progress = silent, kept_days: int = EXPORT_KEPT_DAYS
) -> Archived:
    """Export everything of ``tenant`` to ``exports/<cell>`` in the state directory; see :mod:`archive`.

    The tenant may go on writing: the export shows one moment of it. Killed, it leaves no export; repeated, it begins
    with a new snapshot, or ends the one that was written.

    Raises:
        OperationError: another process works on the tenant, or another operation of it is open.
        ArchiveError: it could not be written.
        CellUnavailableError: the cell does not answer.
    """
    return archived("export", tenant, form="csv", kept_days=kept_days, settings=settings, progress=progress)


def archived(
    kind: archive.Kind,
    tenant: Tenant,
    *,
    form: Format,
    kept_days: int,
    settings: Settings | None,
    progress: Progress,
) -> Archived:
    """Write, publish and verify an archive as a resumable operation; see :func:`export_tenant`."""
    settings = settings or get_settings()
    with operation(tenant.cell, tenant.id, kind, settings=settings) as running:
        if "archive" not in running.facts:
            running.remember(archive=archive.archive_name(tenant.id, datetime.now(UTC), running.operation_id))
        name = str(running.facts["archive"])
        path = archive.directory(kind, tenant.cell, settings) / name

        def write() -> str:
            if path.is_dir():
                return "was written before"
            manifest = archive.write(kind, tenant, name, form=form, kept_days=kept_days, settings=settings)
            return f"{manifest.rows} rows of {len(manifest.files)} relations in one snapshot"

        def publish() -> str:
            return archive.publish(kind, tenant.cell, name, settings).name

        def verify() -> str:
            manifest = archive.verify(path)
            return f"{sum(each.bytes for each in manifest.files)} bytes are as they were written"

        run_steps(running, [Step("write", write), Step("publish", publish), Step("verify", verify)], progress)
    return Archived(path, archive.read_manifest(path))


def verify_export(path: Path) -> Manifest:
    """Check every byte of a finished export and return its manifest.

    Raises:
        ArchiveError: it is damaged, no export, or unfinished.
    """
    manifest = archive.verify(path)
    if manifest.kind != "export":
        raise ArchiveError(f"{path} is a {manifest.kind}, not an export")
    return manifest
