{# The days of this run, from the vars start_day and end_day. #}

{# Both days or neither, in order, as dates; a mistake stops dbt. Returns none or {first, last}. #}
{% macro run_days() %}
    {% set first, last = var('start_day'), var('end_day') %}
    {% if first is none and last is none %}{{ return(none) }}{% endif %}
    {% if first is none or last is none %}
        {% do exceptions.raise_compiler_error(
            "vars start_day and end_day go together: start_day is " ~ first ~ ", end_day is " ~ last
        ) %}
    {% endif %}
    {% for name, day in [('start_day', first), ('end_day', last)] %}
        {% if not modules.re.fullmatch('\\d{4}-\\d{2}-\\d{2}', day | string) %}
            {% do exceptions.raise_compiler_error("var " ~ name ~ " is '" ~ day ~ "': a day is needed as YYYY-MM-DD") %}
        {% endif %}
    {% endfor %}
    {% if (first | string) > (last | string) %}
        {% do exceptions.raise_compiler_error(
            "the range of days is inverted: start_day " ~ first ~ " is after end_day " ~ last
        ) %}
    {% endif %}
    {{ return({'first': "date '" ~ first ~ "'", 'last': "date '" ~ last ~ "'"}) }}
{% endmacro %}

{# Condition on a timestamptz: within the run's days, all when the run has none. #}
{% macro in_run_days(moment) -%}
{%- set days = run_days() -%}
{%- if days is none -%}
true
{%- else -%}
{{ moment }} >= ({{ days.first }})::timestamp at time zone 'UTC'
and {{ moment }} < (({{ days.last }}) + 1)::timestamp at time zone 'UTC'
{%- endif -%}
{%- endmacro %}

{#
  dbt's own macro, with one addition: in a test's `where` the word __run_days__ stands for the run's days as a condition
  on occurred_at, __run_times__ as one on time, __run_day_starts__ as one on day_start, __run_dates__ as one on day, __run_periods__ as one on period and
  return_period, and __refreshed_starts__ for the days of funnels' starts that the run refreshes. A test then reads what the run brought, not a year of it.
#}
{% macro get_where_subquery(relation) -%}
    {% set where = config.get('where', '') %}
    {% if not where %}{{ return(relation) }}{% endif %}
    {%- set condition = where
        | replace('__run_days__', in_run_days('occurred_at'))
        | replace('__run_times__', in_run_days('time'))
        | replace('__run_day_starts__', in_run_days('day_start'))
        | replace('__run_dates__', in_run_dates('day'))
        | replace('__run_periods__', in_run_periods())
        | replace('__refreshed_starts__', in_run_dates('day', before=longest_funnel_lookback() | int)) -%}
    {%- set filtered -%}
        (select * from {{ relation }} where {{ condition }}) as dbt_subquery
    {%- endset -%}
    {{ return(filtered) }}
{%- endmacro %}
