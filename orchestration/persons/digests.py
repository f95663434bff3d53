"""By what persons and shoppers who are gone are remembered: digests that prove an id somebody names, and name none."""

import hashlib
from uuid import UUID


def person_digest(person_id: UUID, salt: str) -> str:
    """Return the digest of a certificate, a consent or an ended operation."""
    return hashlib.sha256(f"{salt}{person_id}".encode()).hexdigest()


def user_digest(tenant_id: UUID, user_id: int) -> str:
    """Return the digest under which a shopper is in ``analytics.former_users``, as ``analytics.user_digest()``."""
    return hashlib.sha256(f"{tenant_id}/{user_id}".encode()).hexdigest()
