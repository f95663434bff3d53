{#
  Incremental strategy of the funnel mart: the rows of the refreshed days are deleted, then the new ones inserted, in
  one transaction. Deleting by key, as dbt's delete+insert does, would keep a day's row when nobody enters that day
  any more.

  Without days in the vars every day with retained events is refreshed: rows of days before a tenant's first retained
  event have no raw rows left that could rebuild them, and stay.
#}
{% macro get_incremental_replace_days_sql(arguments) %}
    {%- set target_relation = arguments['target_relation'] -%}
    {%- set columns = arguments['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    {%- set days = run_days() -%}
    {%- set names = [] -%}
    delete from {{ target_relation }} as t
    where
    {%- for funnel in configured_funnels() %}
        {%- do names.append(funnel_literal(funnel.name)) %}
        (
            t.funnel = {{ funnel_literal(funnel.name) }}
            {%- if days is none %}
            and t.day >= coalesce(
                (select a.first_day from {{ ref('int_tenant_activity') }} as a where a.tenant_id = t.tenant_id),
                (select min(a.first_day) from {{ ref('int_tenant_activity') }} as a)
            )
            {%- else %}
            and t.day between {{ days.first }} - {{ funnel_lookback_days(funnel) }} and {{ days.last }}
            {%- endif %}
        )
        or
    {%- endfor %}
        t.funnel not in ({{ names | join(', ') }});

    insert into {{ target_relation }} ({{ columns }})
    select {{ columns }}
    from {{ arguments['temp_relation'] }};
{% endmacro %}
