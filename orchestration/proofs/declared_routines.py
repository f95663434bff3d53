"""Which functions and procedures the migrations make, by their last definition: what the suite compares a cell with.

Nothing here is kept by hand: a function is declared by the migration that makes it, and one that a cell has beyond
these, or with another text, was made by somebody else.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from orchestration.migrations.files import DOMAINS, SQL_ROOT, Edition, plan
from orchestration.migrations.statements import split

_HEAD = re.compile(
    r"create\s+(?:or\s+replace\s+)?(?:function|procedure)\s+(?P<name>[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*)\s*\(",
    re.IGNORECASE,
)
_DROP = re.compile(r"drop\s+(?:function|procedure)\s+(?:if\s+exists\s+)?(?P<name>[a-z_][a-z0-9_.]*)", re.IGNORECASE)
_RENAME = re.compile(
    r"alter\s+(?:function|procedure)\s+(?P<schema>[a-z_][a-z0-9_]*)\.(?P<old>[a-z_][a-z0-9_]*)\s*\([^)]*\)"
    r"\s*rename\s+to\s+(?P<new>[a-z_][a-z0-9_]*)",
    re.IGNORECASE,
)
# As PostgreSQL keeps it in pg_proc.prosrc: everything between the dollar quotes.
_BODY = re.compile(r"\bas\s+\$(?P<tag>[A-Za-z_]*)\$(?P<body>.*?)\$(?P=tag)\$", re.IGNORECASE | re.DOTALL)
_DEFINER = re.compile(r"\bsecurity\s+definer\b", re.IGNORECASE)


@dataclass(frozen=True)
class DeclaredRoutine:
    """One function or procedure.

    Attributes:
        name: ``schema.name``, without arguments.
        body: MD5 of its text as the server stores it; None where the server keeps it parsed (``return …``).
        definer: whether it is SECURITY DEFINER.
    """

    name: str
    body: str | None
    definer: bool


@lru_cache(maxsize=4)
def declared_routines(edition: Edition = "apache", root: Path = SQL_ROOT) -> tuple[DeclaredRoutine, ...]:
    """Return what the migrations of ``edition`` make, in order of name; a later definition replaces an earlier one.

    Raises:
        MigrationFileError, StatementError: a file of ``root`` cannot be read.
    """
    found: dict[str, DeclaredRoutine] = {}
    for statement in _statements(edition, root):
        dropped = _DROP.match(statement)
        if dropped is not None:
            found.pop(dropped["name"].lower(), None)
        renamed = _RENAME.match(statement)
        if renamed is not None:
            name = f"{renamed['schema']}.{renamed['new']}".lower()
            found[name] = replace(found.pop(f"{renamed['schema']}.{renamed['old']}".lower()), name=name)
        head = _HEAD.match(statement)
        if head is None:
            continue
        body = _BODY.search(statement)
        # A clause stands before the body or after it, never in it.
        clauses = statement if body is None else statement[: body.start()] + statement[body.end() :]
        name = head["name"].lower()
        digest = None if body is None else hashlib.md5(body["body"].encode(), usedforsecurity=False).hexdigest()
        found[name] = DeclaredRoutine(name, digest, _DEFINER.search(clauses) is not None)
    return tuple(found[name] for name in sorted(found))


def _statements(edition: Edition, root: Path) -> Iterator[str]:
    for domain in DOMAINS:
        for migration in plan(domain, edition, root=root):
            for statement in split(migration.text):
                yield statement.text
