"""Certificates of a person's erasure: what was removed, what is kept by law and why, and what ends the last bytes.

They name nobody: whoever knows the person's id can check that it is meant. Two files, JSON and plain text, mode 0600,
beside the certificates of tenants in ``certificates/<cell>``.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from orchestration.cells.regions import Cell
from orchestration.persons.digests import person_digest
from orchestration.settings import Settings
from orchestration.tenancy import certificates
from orchestration.tenancy.certificates import CertificateError

FORMAT_VERSION = 1


@dataclass(frozen=True)
class PersonCertificate:
    """Of one erasure.

    Attributes:
        certificate_id: the operation in the journal.
        person_digest: SHA-256 of salt and the person's id.
        salt: of this certificate alone.
        cell: whose journal and directory.
        cells: where something of the person was.
        tenants: of how many tenants the person was something.
        ended_at: when nothing was left, ISO 8601.
        deleted: how many rows went, by what they were.
        retained: how many rows stay without the person, by what they are.
        reasons: why, by the same names.
        places_looked_at: in which the proof found nothing.
        backups: copies that hold the person still; a restore erases them again.
        backups_until: when the last of them is removed, ISO 8601; None without any.
        queue_entries: removed from a queue whose other entries go on waiting: the bytes go with those beside them.
        stale_days: days of tenants, in the cells where the person was, whose figures waited to be built again when the
            certificate was written; with them those of anybody else who was erased. The journal says when they are.
        tables_not_rewritten: too large, or in use: vacuumed, their free pages are being overwritten.
        erased: the stores that were erased.
        not_erased: store -> why it needs no erasure, and what ends a copy there.
    """

    certificate_id: str
    person_digest: str
    salt: str
    cell: Cell
    cells: tuple[str, ...]
    tenants: int
    ended_at: str
    deleted: Mapping[str, int]
    retained: Mapping[str, int]
    reasons: Mapping[str, str]
    places_looked_at: int
    backups: int
    backups_until: str | None
    queue_entries: int
    tables_not_rewritten: int
    erased: tuple[str, ...]
    not_erased: Mapping[str, str]
    # Certificates of before have none; their figures were never told.
    stale_days: int | None = None

    def is_of(self, person_id: UUID) -> bool:
        """Return whether it is the certificate of this person."""
        return self.person_digest == person_digest(person_id, self.salt)

    def as_text(self) -> str:
        """Return it for people."""
        counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(self.deleted.items()))
        lines = [
            "Certificate of erasure of a person",
            "",
            f"Certificate   {self.certificate_id}",
            f"Person        SHA-256 of salt and id: {self.person_digest}",
            f"Salt          {self.salt}",
            f"Was in        cell {', '.join(self.cells)}; {self.tenants} tenants",
            f"Erased at     {self.ended_at}",
            f"Removed       {counts or 'nothing'}",
            f"Proof         looked into {self.places_looked_at} places of the stores below; nothing was left",
            "",
            "Kept, without the person:",
            *(f"  {count} {name.replace('_', ' ')}: {self.reasons[name]}" for name, count in self.retained.items()),
            f"  figures of many persons together, with nobody's number: {self._figures()}",
            "",
            "Where bytes of it may still lie, and until when:",
            f"  {self.backups} backups of tenants, until {self.backups_until}; a restore erases the person again"
            if self.backups
            else "  no backup",
            f"  {self.queue_entries} entries of a queue: until the entries beside them are stored, and Redis' file is "
            "written anew"
            if self.queue_entries
            else "  no entry of a queue",
            f"  {self.tables_not_rewritten} tables that were vacuumed, not rewritten: until their free pages fill"
            if self.tables_not_rewritten
            else "  no table: those that held rows were written anew",
            "",
            "Erased from:",
            *(f"  {name}" for name in self.erased),
            "",
            "Not erased, because:",
            *(f"  {name}: {reason}" for name, reason in self.not_erased.items()),
        ]
        return "\n".join(lines) + "\n"

    def _figures(self) -> str:
        if self.stale_days == 0:
            return "built again without the person"
        many = "" if self.stale_days is None else f", {self.stale_days} days of tenants at that time"
        return f"as they were counted until they are built again{many}; `capstone person operations` says when they are"


def write(certificate: PersonCertificate, settings: Settings) -> Path:
    """Write both files and return the path of the JSON one."""
    content = {"format": FORMAT_VERSION, "kind": "person", **asdict(certificate)}
    return certificates.write_files(
        certificate.cell, certificate.certificate_id, content, certificate.as_text(), settings
    )


def read(cell: Cell, certificate_id: str, settings: Settings) -> PersonCertificate:
    """Return a certificate.

    Raises:
        CertificateError: it is missing, was changed, or is a tenant's.
    """
    content = certificates.read_file(cell, certificate_id, settings)
    path = certificates.directory(cell, settings) / f"{certificate_id}.json"
    if content.pop("format", None) != FORMAT_VERSION or content.pop("kind", None) != "person":
        raise CertificateError(f"{path} is no certificate of a person")
    for name in ("cells", "erased"):
        content[name] = tuple(content[name])
    return PersonCertificate(**content)
