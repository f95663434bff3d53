-- Every relation that sql/relations.yml declares; handed to the session as a setting, so that a rule is plain SQL.
select
    relation.name,
    relation.kind,
    relation.relkind,
    relation.tenant_column,
    relation.personal,
    relation.app,
    -- dbt makes its relations at its first build; until then they may be missing.
    relation.optional
from jsonb_to_recordset(current_setting('proof.relations')::jsonb) as relation (
    name text, kind text, relkind text, tenant_column text, personal text[], app text[], optional boolean
);
