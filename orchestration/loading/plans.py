"""The plans of the service, the same in every cell."""

import numpy as np
import pyarrow as pa

from orchestration.loading.arrow_columns import money_column
from orchestration.loading.copy_loader import Connection, Upserted, UpsertRule, upsert

# plan, name, cents a month, most staff, most projects, most events a month, features, model of new tenants,
# most transactions at once, longest statement in milliseconds
_PLANS: tuple[tuple[str, str, int, int | None, int | None, int | None, str, str, int, int], ...] = (
    ("free", "Free", 0, 2, 1, 100_000, '{"api": false, "exports": false, "sso": false}', "shared", 2, 5_000),
    ("starter", "Starter", 2_900, 5, 5, 1_000_000, '{"api": true, "exports": false, "sso": false}', "shared", 4, 9_000),
    ("pro", "Pro", 9_900, 25, 50, 20_000_000, '{"api": true, "exports": true, "sso": false}', "schema", 16, 30_000),
    (
        "enterprise",
        "Enterprise",
        99_900,
        None,
        None,
        None,
        '{"api": true, "exports": true, "sso": true}',
        "database",
        64,
        60_000,
    ),
)


def load_plans(connection: Connection) -> Upserted:
    """Upsert the plans within the caller's transaction."""
    plan, name, cents, users, projects, events, features, model, connections, timeout = zip(*_PLANS, strict=True)
    rows = pa.table(
        {
            "plan": pa.array(plan, pa.string()),
            "name": pa.array(name, pa.string()),
            "monthly_price": money_column(np.array(cents, dtype=np.int64)),
            "max_users": pa.array(users, pa.int64()),
            "max_projects": pa.array(projects, pa.int64()),
            "max_events_per_month": pa.array(events, pa.int64()),
            "features": pa.array(features, pa.string()),
            "default_model": pa.array(model, pa.string()),
            "max_connections": pa.array(connections, pa.int64()),
            "statement_timeout_ms": pa.array(timeout, pa.int64()),
        }
    )
    return upsert(connection, UpsertRule("saas.plans", ("plan",)), [rows])
