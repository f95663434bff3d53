{#
  A parenthesised query: the keys, step (1-based), users who reached it, avg_seconds and median_seconds since the step
  before, one row per key and step.

  n_steps  number of the funnel's steps
  paths    relation or parenthesised query with the keys and step_times, one row per user (and day)
  keys     columns to group by
#}
{% macro funnel_figures(n_steps, paths, keys) -%}
(
    with counted as (
        select
            {{ keys | join(', ') }},
            count(*) as users_1
            {%- for k in range(2, n_steps + 1) %}
            {%- set seconds = "date_part('epoch', step_times[" ~ k ~ "] - step_times[" ~ (k - 1) ~ "])" %},
            count(step_times[{{ k }}]) as users_{{ k }},
            {#- Whole microseconds: a sum of doubles depends on the order of the rows, and a rebuild would differ. #}
            (avg(({{ seconds }} * 1000000)::bigint) / 1000000)::double precision as avg_{{ k }},
            percentile_cont(0.5) within group (order by {{ seconds }}) as median_{{ k }}
            {%- endfor %}
        from {{ paths }} as p
        group by {{ keys | join(', ') }}
    )

    select
        {% for key in keys %}c.{{ key }}, {% endfor -%}
        s.step,
        s.users,
        s.avg_seconds,
        s.median_seconds
    from counted as c
    cross join lateral (
        values
        (1, c.users_1, null::double precision, null::double precision)
        {%- for k in range(2, n_steps + 1) %},
        ({{ k }}, c.users_{{ k }}, c.avg_{{ k }}, c.median_{{ k }})
        {%- endfor %}
    ) as s (step, users, avg_seconds, median_seconds)
)
{%- endmacro %}

{# The name of a row's step, by its number. #}
{% macro funnel_step_names(funnel) -%}
array[{% for step in funnel.steps %}{{ funnel_literal(funnel_step_name(step)) }}{{ ', ' if not loop.last }}{% endfor %}]
{%- endmacro %}
