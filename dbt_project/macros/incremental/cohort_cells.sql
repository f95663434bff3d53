{#
  Incremental strategy of the retention matrices: a run of days brings the cells that it can have changed, any other run
  all of them. Cells that stay the same are not written.
#}
{% macro get_incremental_refresh_cohort_cells_sql(arguments) %}
    {%- if run_days() is none -%}
        {{ get_incremental_apply_difference_sql(arguments) }}
    {%- else -%}
        {{ cohort_cells_apply(
            arguments['target_relation'],
            arguments['temp_relation'],
            arguments['unique_key'],
            arguments['dest_columns'] | map(attribute='name') | list,
        ) }}
    {%- endif -%}
{% endmacro %}

{# Runs in the transaction that has refreshed the matrices: a run that dies before leaves the days marked. #}
{% macro clear_stale_user_periods() %}
    update {{ ref('int_user_periods') }} set stale_days = null where stale_days is not null
{% endmacro %}

{# Condition on a cell: its period is one of the run's days', or has one of them. #}
{% macro in_run_periods(alias='') -%}
{%- set days = run_days() -%}
{%- set column = alias ~ '.' if alias else '' -%}
{%- if days is none -%}
true
{%- else -%}
(
    {%- for period in ['day', 'week', 'month'] %}
    ({{ column }}period = '{{ period }}'
    and {{ column }}return_period between date_trunc('{{ period }}', {{ days.first }}::timestamp)::date and {{ days.last }}){{ ' or' if not loop.last }}
    {%- endfor %}
)
{%- endif -%}
{%- endmacro %}
