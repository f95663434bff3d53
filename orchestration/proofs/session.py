"""What a rule is told: declarations, regions and the attacks' outcomes, as settings of the session that asks it."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from orchestration.cells.regions import REGIONS, Cell
from orchestration.cells.relations import Edition, Relation
from orchestration.proofs.attacks import Attack
from orchestration.proofs.declared_routines import declared_routines
from orchestration.quality.validation import Session

RULE_TIMEOUT = "60s"


def rule_session(
    cell: Cell,
    relations: Sequence[Relation],
    attacks: Sequence[Attack] = (),
    *,
    edition: Edition = "apache",
    further: dict[str, str] | None = None,
) -> Session:
    """Return the session of the rules of ``cell``; ``further``: settings that single rules read, by name."""
    declared = [
        {
            "name": relation.name,
            "kind": relation.kind,
            "relkind": relation.relkind,
            "tenant_column": relation.tenant_column,
            "personal": relation.identifying,
            "classes": dict(relation.personal),
            "app": relation.app,
            "optional": relation.built_by_dbt,
        }
        for relation in relations
    ]
    regions = [
        {"region": region.cell, "name": region.name, "residency": region.residency} for region in REGIONS.values()
    ]
    return Session(
        settings={
            # Nobody's function or operator comes before the server's own.
            "search_path": "pg_catalog",
            "statement_timeout": RULE_TIMEOUT,
            "application_name": "capstone proof",
            "proof.cell": cell,
            "proof.relations": json.dumps(declared),
            "proof.routines": json.dumps([asdict(each) for each in declared_routines(edition)]),
            "proof.regions": json.dumps(regions),
            "proof.tenant_databases": "[]",
            # No store was surveyed, so nothing is proven, unless ``further`` says otherwise.
            "proof.stores": "[]",
            "proof.survey": "[]",
            "proof.attacks": json.dumps([asdict(each) for each in attacks]),
        }
        | (further or {})
    )
