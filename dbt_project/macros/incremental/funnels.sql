{# Condition on a row of a funnel's paths or figures: its day is among those that the run refreshes. #}
{% macro in_refreshed_starts(funnel, alias, after=0) -%}
{{ alias }}.funnel = {{ funnel_literal(funnel.name) }}
and {{ in_run_dates(alias ~ '.day', before=funnel_lookback_days(funnel) | int, after=after) }}
{%- endmacro %}

{# Days before the run's that some funnel's refresh reaches back. #}
{% macro longest_funnel_lookback() -%}
{%- set lookbacks = [] -%}
{%- for funnel in configured_funnels() -%}{%- do lookbacks.append(funnel_lookback_days(funnel) | int) -%}{%- endfor -%}
{{ lookbacks | max }}
{%- endmacro %}

{# Rows of funnels that are not configured any more. Nothing where there are none: looking for them would read all. #}
{% macro delete_removed_funnels(relation) %}
    {%- set names = [] -%}
    {%- for funnel in configured_funnels() -%}{%- do names.append(funnel.name) -%}{%- endfor -%}
    {%- for name in kept_funnels(relation) if name not in names %}
    delete from {{ relation }} as t
    where t.funnel = {{ funnel_literal(name) }};
    {%- endfor %}
{% endmacro %}

{# Names of the funnels that have rows, each found in the index (funnel, day) behind the one before. #}
{% macro kept_funnels(relation) %}
    {%- if not execute -%}{{ return([]) }}{%- endif -%}
    {%- set query -%}
    with recursive names as (
        select min(funnel) as funnel
        from {{ relation }}
        union all
        select (select min(t.funnel) from {{ relation }} as t where t.funnel > n.funnel)
        from names as n
        where n.funnel is not null
    )

    select funnel
    from names
    where funnel is not null
    {%- endset -%}
    {{ return(run_query(query).columns[0].values() | list) }}
{% endmacro %}

{% macro delete_stale_int_funnel_paths(relation, new_rows) %}
    {{ delete_removed_funnels(relation) }}
    delete from {{ relation }} as t
    where
    {%- for funnel in configured_funnels() %}
        ({{ in_refreshed_starts(funnel, 't') }}){{ ' or' if not loop.last else ';' }}
    {%- endfor %}
    {#- A path tells of a person; it does not outlive the events that it was made of. What rests on it does. #}
    delete from {{ relation }} as t
    using {{ ref('int_tenant_activity') }} as a
    where t.tenant_id = a.tenant_id
        and t.funnel in ({% for f in configured_funnels() %}{{ funnel_literal(f.name) }}{{ ', ' if not loop.last }}{% endfor %})
        and t.day < a.retained_from
        and t.day < (select max(m.retained_from) from {{ ref('int_tenant_activity') }} as m);
{% endmacro %}

{% macro delete_stale_fct_funnel(relation, new_rows) %}
    {{ delete_removed_funnels(relation) }}
    delete from {{ relation }} as t
    where t.day >= {{ counted_from() }}
        and (
        {%- for funnel in configured_funnels() %}
            ({{ in_refreshed_starts(funnel, 't') }}){{ ' or' if not loop.last }}
        {%- endfor %}
        );
{% endmacro %}

{# Days of paths of users whose first touch has moved since the breakdown was last refreshed. #}
{% macro days_of_moved_first_touches() -%}
(
    select distinct p.tenant_id, p.funnel, p.day
    from {{ ref('int_first_touch') }} as f
    inner join {{ ref('int_funnel_paths') }} as p on f.tenant_id = p.tenant_id and f.user_id = p.user_id
    where f.is_moved
)
{%- endmacro %}

{% macro delete_stale_fct_funnel_by_first_touch(relation, new_rows) %}
    {{ delete_stale_fct_funnel(relation, new_rows) }}
    delete from {{ relation }} as t
    using {{ days_of_moved_first_touches() }} as m
    where t.tenant_id = m.tenant_id and t.funnel = m.funnel and t.day = m.day;
{% endmacro %}

{# A day's figures are in the sums of the 27 days after it. A row that the end of the data has passed is complete. #}
{% macro delete_stale_fct_funnel_conversion(relation, new_rows) %}
    {{ delete_removed_funnels(relation) }}
    delete from {{ relation }} as t
    where t.day >= {{ counted_from() }}
        and (
        {%- for funnel in configured_funnels() %}
            ({{ in_refreshed_starts(funnel, 't', after=27) }}){{ ' or' if not loop.last }}
        {%- endfor %}
        );
    delete from {{ relation }} as t
    where t.day >= {{ counted_from() }}
        and (t.tenant_id, t.funnel, t.day) in (
            select r.tenant_id, r.funnel, r.day
            from {{ relation }} as r
            left join {{ ref('int_tenant_activity') }} as a on r.tenant_id = a.tenant_id
            where r.is_complete <> {{ windows_are_over('r', 'a') }}
        );
{% endmacro %}

{#
  Whether every event that can still belong to a row's paths is in: the window of its last start ends with the data.
  activity is int_tenant_activity, left joined by tenant_id.
#}
{% macro windows_are_over(alias, activity) -%}
coalesce({{ alias }}.window_ends_at <= ({{ activity }}.last_day + 1)::timestamp at time zone 'UTC', false)
{%- endmacro %}
