{#
  Row security of a tenant's table, restored on every build. It runs as post-hook inside the transaction that puts the
  new table in the old one's place, so no reader ever meets a mart without its policy.

  readers  roles that serve tenants and may select; [] for steps between staging and marts. What others were given by
           default privileges (the auditor's select) stays.
#}
{% macro secure_tenant_relation(relation, readers) %}
    {% if model.config.materialized not in ('table', 'incremental') %}
        {# A view has no row security; no role that serves a tenant may enter its schema. #}
        {{ return('') }}
    {% endif %}
    {# The table that was replaced, dropped now and not after the commit: a run killed in between would leave a
       relation that nobody declared, and the proof would close the gate on it. #}
    drop table if exists {{ make_backup_relation(relation, 'table') }} cascade;
    alter table {{ relation }} enable row level security;
    alter table {{ relation }} force row level security;
    drop policy if exists tenant_isolation on {{ relation }};
    create policy tenant_isolation on {{ relation }}
    using (tenant_id = (select platform.current_tenant()))
    with check (tenant_id = (select platform.current_tenant()));
    revoke all on {{ relation }} from public;
    {% for reader in readers %}
    grant select on {{ relation }} to {{ reader }};
    {% endfor %}
{% endmacro %}

{#
  A mart by what it is declared as. Aggregates hold no tenant's rows, so a policy would show them to nobody: tenants'
  roles are given nothing, and the role that publishes may read them.
#}
{% macro secure_mart(relation, readers) %}
    {% if model.config.meta.relation_kind != 'aggregate' %}
        {{ return(secure_tenant_relation(relation, readers)) }}
    {% endif %}
    drop table if exists {{ make_backup_relation(relation, 'table') }} cascade;
    revoke all on {{ relation }} from public;
    grant select on {{ relation }} to publisher;
{% endmacro %}
