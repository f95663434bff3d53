{#
  Incremental strategy of the models that are built day by day: what the run's days may have changed is deleted and
  computed anew, in one transaction. Which rows these are, each model says itself in a macro delete_stale_<model>
  (relation, new_rows), as statements that delete. dbt's delete+insert deletes by key, and would keep the row of a day
  on which nothing happens any more.

  A run without days refreshes everything that retained events can rebuild. Rows of days before a tenant's first
  retained day have no events left, and stay (see stays).
#}
{% macro get_incremental_replace_stale_sql(arguments) %}
    {%- set target_relation = arguments['target_relation'] -%}
    {%- set columns = arguments['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    {{ context['delete_stale_' ~ target_relation.identifier](target_relation, arguments['temp_relation']) }}
    insert into {{ target_relation }} ({{ columns }})
    select {{ columns }}
    from {{ arguments['temp_relation'] }};
{% endmacro %}

{# First day of the row's tenant that events can still rebuild; a tenant without any goes by the others. #}
{% macro retained_from(alias='t') -%}
coalesce(
    (select a.retained_from from {{ ref('int_tenant_activity') }} as a where a.tenant_id = {{ alias }}.tenant_id),
    (select min(a.retained_from) from {{ ref('int_tenant_activity') }} as a)
)
{%- endmacro %}

{#
  First day of the row's tenant that a run may delete and count anew. Days whose last event of the history was erased are
  before the first retained day, as days are that retention has dropped; of these nothing stays.
#}
{% macro counted_from(alias='t') -%}
least(
    {{ retained_from(alias) }},
    (select min(s.day) from analytics.stale_days as s where s.tenant_id = {{ alias }}.tenant_id and s.is_history)
)
{%- endmacro %}

{# Condition on a date: within the run's days, `before` days ahead of them and `after` days past them; all when none. #}
{% macro in_run_dates(day, before=0, after=0) -%}
{%- set days = run_days() -%}
{%- if days is none -%}
true
{%- else -%}
{{ day }} between {{ days.first }} - {{ before }} and {{ days.last }} + {{ after }}
{%- endif -%}
{%- endmacro %}

{# The same of a moment; a range of moments can use an index and leaves out chunks. #}
{% macro in_run_moments(moment, before=0, after=0) -%}
{%- if run_days() is none -%}
true
{%- else -%}
{{ moment }} >= {{ run_start(before) }} and {{ moment }} < {{ run_end(after) }}
{%- endif -%}
{%- endmacro %}

{# The moment at which the run's days begin, `before` days earlier, and the one at which they are over. #}
{% macro run_start(before=0) -%}
({{ run_days().first }} - {{ before }})::timestamp at time zone 'UTC'
{%- endmacro %}

{% macro run_end(after=0) -%}
({{ run_days().last }} + {{ after + 1 }})::timestamp at time zone 'UTC'
{%- endmacro %}
