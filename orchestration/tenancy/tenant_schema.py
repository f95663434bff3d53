"""The migrations of ``saas`` and ``ecommerce``, said of one tenant's own schemas.

The same files make the shared tables and every tenant's, so the two cannot drift apart: a schema's name is replaced
token by token, wherever it qualifies something that belongs to the tenant. What tenants may only read there
(themselves, plans, fences, counters) is the operator's and stays shared, and statements about it are left out.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

from orchestration.migrations.files import Migration
from orchestration.migrations.statements import Statement, split
from orchestration.tenancy.placement import OPERATIONAL_DOMAINS, OperationalDomain, operators_relations

# Names in strings count too ('saas.users'::regclass), in comments of the code they do not.
_QUALIFIED = re.compile(
    r"""
    (?P<comment>--[^\n]*|/\*.*?\*/)
  | (?<![A-Za-z0-9_$."])(?P<schema>[a-z_][a-z0-9_]*)\.(?P<name>[a-z_][a-z0-9_]*)
    """,
    re.VERBOSE | re.DOTALL,
)
_SCHEMAS = frozenset(OPERATIONAL_DOMAINS)


# Not a relation, so not among the declared ones: names the newest fence of the whole cell.
_OPERATORS_SEQUENCES = frozenset({"saas.newest_fence"})


@lru_cache(maxsize=1)
def _operators() -> frozenset[str]:
    return _OPERATORS_SEQUENCES | {relation.name for relation in operators_relations()}


def _names(text: str) -> Iterator[re.Match[str]]:
    return (match for match in _QUALIFIED.finditer(text) if match["comment"] is None)


def is_tenants(statement: Statement) -> bool:
    """Return whether a statement concerns what is made anew for a tenant.

    What it concerns is the first qualified name in it: the object that it makes, changes, grants or writes. One that
    names nothing (``reset role``) holds for both.
    """
    first = next(_names(statement.text), None)
    if first is None:
        return True
    return first["schema"] in _SCHEMAS and f"{first['schema']}.{first['name']}" not in _operators()


def in_schemas(text: str, schemas: Mapping[OperationalDomain, str]) -> str:
    """Return ``text`` with what belongs to the tenant in ``schemas`` instead of the shared ones."""
    operators = _operators()

    def replaced(match: re.Match[str]) -> str:
        schema, name = match["schema"], match["name"]
        if match["comment"] is not None or schema not in _SCHEMAS or f"{schema}.{name}" in operators:
            return match.group()
        return f"{schemas['saas' if schema == 'saas' else 'ecommerce']}.{name}"

    return _QUALIFIED.sub(replaced, text)


def tenant_statements(migration: Migration, schemas: Mapping[OperationalDomain, str]) -> list[Statement]:
    """Return the statements of ``migration`` that make a tenant's schemas, with its schemas' names in them.

    Raises:
        StatementError: the file cannot be split into statements.
    """
    return [
        replace(statement, text=in_schemas(statement.text, schemas))
        for statement in split(migration.text)
        if is_tenants(statement)
    ]
