"""Certificates of erasure: what was removed from where, and what was not and why, without naming whom.

A certificate holds a salted digest of the tenant's id: whoever knows the id can check that it is meant, nobody else
learns it. Two files, JSON and plain text, mode 0600, in ``certificates/<cell>`` of the state directory.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from orchestration.cells.regions import Cell
from orchestration.engines import sealed_json
from orchestration.engines.atomic_file import write_atomically
from orchestration.engines.passwords import owner_of_home
from orchestration.settings import Settings
from orchestration.tenancy.former_tenants import tenant_digest

FORMAT_VERSION = 1


class CertificateError(RuntimeError):
    """A certificate is missing or is not what was written."""


@dataclass(frozen=True)
class Certificate:
    """Of one erasure.

    Attributes:
        certificate_id: the operation in the journal.
        tenant_digest: SHA-256 of salt and the tenant's id.
        salt: of this certificate alone.
        cell: where the tenant lived.
        model: where its rows were.
        ended_at: when nothing was left, ISO 8601.
        deleted: how many rows, models' rows and persons went, and how many persons stay whom others name.
        places_looked_at: relations, keys, schemas and directories in which the proof found nothing.
        tables_not_rewritten: tables too large to be rewritten, or in use: vacuumed, their pages are being overwritten.
        erased: the stores that were erased.
        not_erased: store -> why it needs no erasure, and what ends a copy there.
    """

    certificate_id: str
    tenant_digest: str
    salt: str
    cell: Cell
    model: str
    ended_at: str
    deleted: Mapping[str, int]
    places_looked_at: int
    tables_not_rewritten: int
    erased: tuple[str, ...]
    not_erased: Mapping[str, str]

    def is_of(self, tenant_id: UUID) -> bool:
        """Return whether it is the certificate of this tenant."""
        return self.tenant_digest == tenant_digest(tenant_id, self.salt)

    def as_text(self) -> str:
        """Return it for people."""
        counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(self.deleted.items()))
        lines = [
            "Certificate of erasure",
            "",
            f"Certificate   {self.certificate_id}",
            f"Tenant        SHA-256 of salt and id: {self.tenant_digest}",
            f"Salt          {self.salt}",
            f"Lived in      cell {self.cell}, model {self.model}",
            f"Erased at     {self.ended_at}",
            f"Removed       {counts or 'nothing'}",
            f"Proof         looked into {self.places_looked_at} places of the stores below; nothing was left",
            "",
            "Erased from:",
            *(f"  {name}" for name in self.erased),
            "",
            "Not erased, because:",
            *(f"  {name}: {reason}" for name, reason in self.not_erased.items()),
        ]
        if self.tables_not_rewritten:
            lines.append(
                f"\n{self.tables_not_rewritten} tables were vacuumed, not rewritten: their free pages fill again."
            )
        return "\n".join(lines) + "\n"


def directory(cell: Cell, settings: Settings) -> Path:
    """Return where a cell's certificates are."""
    return settings.home / "certificates" / cell


def write_files(cell: Cell, certificate_id: str, content: Mapping[str, Any], text: str, settings: Settings) -> Path:
    """Write a certificate's two files, for programs and for people, and return the path of the JSON one."""
    place = directory(cell, settings)
    owner = owner_of_home(settings.home)
    for each in (place.parent, place):
        if not each.is_dir():
            each.mkdir(mode=0o700, parents=True)
            if owner is not None:
                os.chown(each, *owner)
    path = place / f"{certificate_id}.json"
    write_atomically(path.with_suffix(".txt"), text, owner=owner)
    write_atomically(path, sealed_json.sealed(content), owner=owner)
    return path


def read_file(cell: Cell, certificate_id: str, settings: Settings) -> dict[str, Any]:
    """Return what a certificate says.

    Raises:
        CertificateError: it is missing or was changed.
    """
    path = directory(cell, settings) / f"{certificate_id}.json"
    try:
        content = sealed_json.unsealed(path.read_bytes())
    except FileNotFoundError:
        raise CertificateError(f"{path} does not exist: there is no such certificate") from None
    if content is None:
        raise CertificateError(f"{path} is not what was written: it has been changed or damaged")
    return content


def write(certificate: Certificate, settings: Settings) -> Path:
    """Write both files and return the path of the JSON one; written again, they are the same but for the time."""
    content = {"format": FORMAT_VERSION, **asdict(certificate)}
    return write_files(certificate.cell, certificate.certificate_id, content, certificate.as_text(), settings)


def read(cell: Cell, certificate_id: str, settings: Settings) -> Certificate:
    """Return a certificate.

    Raises:
        CertificateError: it is missing or was changed, or is a person's.
    """
    content = read_file(cell, certificate_id, settings)
    if content.pop("format", None) != FORMAT_VERSION or "kind" in content:
        raise CertificateError(f"certificate {certificate_id} is none of a tenant, or of another version")
    return Certificate(**{**content, "erased": tuple(content["erased"])})
