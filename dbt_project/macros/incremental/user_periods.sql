{#
  The days that the run refreshes of each tenant and configured step: the run's, but none that retention has dropped. A
  step of which nothing is kept yet is read whole, for its users' first days may lie before the run's.

  known_steps  keys of which the table has rows; none when it is built anew
#}
{% macro user_period_bounds(known_steps=none) -%}
{%- set days = run_days() -%}
(
    select a.tenant_id, s.step, greatest(s.first_day, a.retained_from) as from_day, s.last_day as to_day
    from (
        {#- A tenant that has no event any more goes by the others. #}
        select t.tenant_id, coalesce(own.retained_from, others.retained_from) as retained_from
        from {{ ref('stg_tenants') }} as t
        left join {{ ref('int_tenant_activity') }} as own on t.tenant_id = own.tenant_id
        cross join (select min(m.retained_from) as retained_from from {{ ref('int_tenant_activity') }} as m) as others
    ) as a
    cross join (
        values
        {%- for key in configured_cohort_steps() %}
        {%- set partial = days is not none and known_steps is not none and key in known_steps %}
        (
            {{ funnel_literal(key) }}::text,
            {{ days.first if partial else 'null::date' }},
            {{ days.last if partial else 'null::date' }}
        ){{ ',' if not loop.last }}
        {%- endfor %}
    ) as s (step, first_day, last_day)
    where a.retained_from is not null and (s.last_day is null or s.last_day >= a.retained_from)
)
{%- endmacro %}

{# Those who have new rows, those whose bits lie all in the refreshed days, and steps that no cohort has any more. #}
{% macro delete_stale_int_user_periods(relation, new_rows) %}
    delete from {{ relation }} as t
    where t.step not in (
        {%- for key in configured_cohort_steps() %}{{ funnel_literal(key) }}{{ ', ' if not loop.last }}{% endfor -%}
    );
    delete from {{ relation }} as t
    using {{ new_rows }} as n
    where t.tenant_id = n.tenant_id and t.user_id = n.user_id and t.step = n.step;
    delete from {{ relation }} as t
    using {{ user_period_bounds(known_cohort_steps(relation)) }} as b
    where t.tenant_id = b.tenant_id
        and t.step = b.step
        and t.first_day >= b.from_day
        and t.last_day <= coalesce(b.to_day, t.last_day);
{% endmacro %}

{# Keys of the steps that have rows; none while dbt only parses. #}
{% macro known_cohort_steps(relation) %}
    {% if not execute %}{{ return(none) }}{% endif %}
    {{ return(run_query('select distinct step from ' ~ relation).columns[0].values() | list) }}
{% endmacro %}
