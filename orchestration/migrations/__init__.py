"""Migrations: the plain SQL files under ``sql/`` applied to a cell, or to the control cluster's database ``global``, in
order, once each, or not at all.

Own code because the libraries looked at leave out one of the two things that make this safe: yoyo keeps a hash of a
migration's *name* and locks with a table that a killed run leaves locked; alembic and the like record a revision
without a checksum of its content and take no lock. Neither reports an applied file that was edited afterwards.
"""

from orchestration.migrations.files import DOMAINS, Edition, Migration, MigrationFileError, plan
from orchestration.migrations.ledger import Applied, LedgerError
from orchestration.migrations.runner import (
    MigrationError,
    apply_all,
    apply_control,
    apply_domain,
    edition,
    pending,
)

__all__ = [
    "DOMAINS",
    "Applied",
    "Edition",
    "LedgerError",
    "Migration",
    "MigrationError",
    "MigrationFileError",
    "apply_all",
    "apply_control",
    "apply_domain",
    "edition",
    "pending",
    "plan",
]
