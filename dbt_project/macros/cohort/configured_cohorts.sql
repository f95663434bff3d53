{# Periods from the var `cohort_periods`, checked. #}
{% macro configured_cohort_periods() %}
    {% set periods = var('cohort_periods') %}
    {% if periods is string or periods is not sequence or periods | length == 0
        or periods | unique | list | length != periods | length %}
        {% do exceptions.raise_compiler_error("var cohort_periods: a list of day, week, month, each once") %}
    {% endif %}
    {% for period in periods if period not in ['day', 'week', 'month'] %}
        {% do exceptions.raise_compiler_error("var cohort_periods: '" ~ period ~ "' is none of day, week, month") %}
    {% endfor %}
    {{ return(periods) }}
{% endmacro %}

{# The moment up to which periods count as over: the var `as_of`, or now. #}
{% macro as_of() -%}
{{ "'" ~ var('as_of') ~ "'::timestamptz" if var('as_of') is not none else 'current_timestamp' }}
{%- endmacro %}
