"""Consents of persons to another region of record: that there is one, for what and to which policy; nobody by value."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg

from orchestration.persons.digests import person_digest
from orchestration.persons.statements import statement
from orchestration.persons.whereabouts import PersonError

PURPOSE = "another region of record"


@dataclass(frozen=True)
class Consent:
    """What a person consented to.

    Attributes:
        policy_version: of the policy that they were shown.
        given_at: when, aware.
        purpose: for what, 1 to 200 characters, nothing personal.
    """

    policy_version: str
    given_at: datetime
    purpose: str = PURPOSE

    def checked(self, *, now: datetime | None = None) -> "Consent":
        """Return it, or fail when it is none.

        Raises:
            PersonError: the version or the purpose has not the form, or it was given in the future.
        """
        allowed = self.policy_version.replace(".", "").replace("_", "").replace("-", "")
        if not (allowed.isascii() and allowed.isalnum() and len(self.policy_version) <= 40):
            raise PersonError("the policy's version has 1 to 40 letters, digits, dots, hyphens and underscores")
        if not 1 <= len(self.purpose) <= 200 or not self.purpose.isprintable():
            raise PersonError("the purpose has 1 to 200 printable characters")
        if self.given_at.tzinfo is None or self.given_at > (now or datetime.now(UTC)):
            raise PersonError("a consent was given at a time in the past, with its time zone")
        return self


def record(
    connection: psycopg.Connection[Any], consent_id: UUID, person_id: UUID, consent: Consent, regions: tuple[str, str]
) -> None:
    """Record a consent in a cell; a second call changes nothing.

    Args:
        connection: as migrator, in a transaction.
        consent_id: the move that it is for.
        person_id: whose; recorded as a salted digest.
        consent: what was consented to.
        regions: of record, until then and from then on.
    """
    salt = consent_id.hex
    connection.execute(
        statement("record_consent").encode(),
        {
            "consent": consent_id,
            "digest": person_digest(person_id, salt),
            "salt": salt,
            "purpose": consent.purpose,
            "policy": consent.policy_version,
            "from": regions[0],
            "to": regions[1],
            "given_at": consent.given_at,
        },
    )


def withdraw(connection: psycopg.Connection[Any], consent_id: UUID) -> None:
    """Remove the consent to a move that was rolled back."""
    connection.execute("delete from platform.person_consents where consent_id = %s", (consent_id,))
