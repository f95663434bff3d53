"""The relations of tenants that have schemas of their own, as declared relations, so that attacks reach them too."""

from collections.abc import Sequence
from dataclasses import replace

import psycopg
from psycopg.rows import TupleRow

from orchestration.cells.relations import Relation
from orchestration.tenancy.placement import operational_relations, schema_names

# Every one is proved by the catalog to be as the shared ones are; attacks are a sample, or a proof would take minutes.
ATTACKED_SCHEMAS = 3


def attacked_relations(auditor: psycopg.Connection[TupleRow], relations: Sequence[Relation]) -> list[Relation]:
    """Return ``relations``, and those of some tenants of model schema, other ones in every proof."""
    found = list(relations)
    rows = auditor.execute(
        "select id from saas.tenants where model = 'schema' and status in ('active', 'suspended')"
        " order by random() limit %s",
        (ATTACKED_SCHEMAS,),
    )
    for (tenant_id,) in rows:
        schemas = dict(schema_names(tenant_id))
        for relation in operational_relations():
            schema = schemas["saas" if relation.schema == "saas" else "ecommerce"]
            found.append(replace(relation, name=f"{schema}.{relation.table}"))
    return found
