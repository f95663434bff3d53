-- Every relation that sql/relations.yml declares; handed to the session as a setting, so that a rule is plain SQL. What
-- tenants write is declared once more for each tenant that has schemas of its own: registered as such, or with a ledger
-- of migrations while it is moved there or back. Any other schema or relation is nobody's.
select
    relation.name,
    relation.kind,
    relation.relkind,
    relation.tenant_column,
    -- Columns that say or lead to who it is, and every personal column with its class.
    relation.personal,
    relation.classes,
    relation.app,
    -- dbt makes its relations at its first build; until then they may be missing.
    relation.optional
from jsonb_to_recordset(current_setting('proof.relations')::jsonb) as relation (
    name text, kind text, relkind text, tenant_column text, personal text[], classes jsonb, app text[],
    optional boolean
)

union all
select
    't_' || replace(tenant.id::text, '-', '') || '_' || relation.name,
    relation.kind,
    relation.relkind,
    relation.tenant_column,
    relation.personal,
    relation.classes,
    relation.app,
    tenant.model <> 'schema' or tenant.status = 'provisioning'
from saas.tenants as tenant
cross join jsonb_to_recordset(current_setting('proof.relations')::jsonb) as relation (
    name text, kind text, relkind text, tenant_column text, app text[], personal text[], classes jsonb
)
where relation.kind = 'tenant'
    and relation.relkind = 'table'
    and relation.name ~ '^(saas|ecommerce)\.'
    and 'insert' = any(relation.app)
    and (
        tenant.model = 'schema'
        or exists (select from platform.tenant_migrations as ledger where ledger.tenant_id = tenant.id)
    );
