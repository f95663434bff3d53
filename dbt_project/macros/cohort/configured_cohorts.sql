{# Cohorts from the var `cohorts`, checked: a mistake is an error that names the cohort and the field. #}

{% macro configured_cohorts() %}
    {% set cohorts = var('cohorts') %}
    {% if cohorts is not sequence or cohorts is string or cohorts is mapping or cohorts | length == 0 %}
        {% do exceptions.raise_compiler_error("var cohorts: a list of at least one cohort is needed") %}
    {% endif %}
    {% set names = [] %}
    {% for cohort in cohorts %}
        {% do check_cohort(cohort, "cohort " ~ loop.index) %}
        {% if cohort.name in names %}
            {% do exceptions.raise_compiler_error("cohort '" ~ cohort.name ~ "' is configured twice") %}
        {% endif %}
        {% do names.append(cohort.name) %}
    {% endfor %}
    {{ return(cohorts) }}
{% endmacro %}

{% macro check_cohort(cohort, place) %}
    {% if cohort is not mapping %}
        {% do exceptions.raise_compiler_error(
            place ~ " is no mapping with name, description, kind, target_event, return_event, periods"
        ) %}
    {% endif %}
    {% for field in cohort
        if field not in ['name', 'description', 'kind', 'target_event', 'return_event', 'periods'] %}
        {% do exceptions.raise_compiler_error(place ~ ": unknown field '" ~ field ~ "'") %}
    {% endfor %}
    {% set name = cohort.get('name') | string %}
    {% if not modules.re.fullmatch('[a-z][a-z0-9_]{0,62}', name) %}
        {% do exceptions.raise_compiler_error(
            place ~ ": name '" ~ name ~ "' must be lower case letters, digits and underscores"
        ) %}
    {% endif %}
    {% if cohort.get('kind') not in ['first_time', 'recurring', 'rolling'] %}
        {% do exceptions.raise_compiler_error(
            "cohort '" ~ name ~ "': kind is '" ~ cohort.get('kind') ~ "': one of first_time, recurring, rolling"
        ) %}
    {% endif %}
    {% for field in ['target_event', 'return_event'] %}
        {% if field not in cohort %}
            {% do exceptions.raise_compiler_error("cohort '" ~ name ~ "': " ~ field ~ " is missing") %}
        {% endif %}
        {% do check_funnel_step(cohort[field], "cohort '" ~ name ~ "', " ~ field) %}
    {% endfor %}
    {% set periods = cohort.get('periods') %}
    {% if periods is string or periods is mapping or periods is not sequence or periods | length == 0
        or periods | unique | list | length != periods | length %}
        {% do exceptions.raise_compiler_error(
            "cohort '" ~ name ~ "': periods must be a list of day, week, month, each once"
        ) %}
    {% endif %}
    {% for period in periods if period not in ['day', 'week', 'month'] %}
        {% do exceptions.raise_compiler_error(
            "cohort '" ~ name ~ "': period '" ~ period ~ "' is none of day, week, month"
        ) %}
    {% endfor %}
{% endmacro %}

{#
  What the kept periods of a step are filed under: its event type, or the whole step where that does not tell it. The
  same step of two cohorts is kept once. A name is for people and changes nothing.
#}
{% macro cohort_step_key(step) -%}
{%- set type = step if step is string else step['type'] -%}
{%- set props = {} if step is string else step.get('props') or {} -%}
{%- if type is not none and not props and not type.startswith('{') -%}
{{ type }}
{%- else -%}
{{ {'props': props, 'type': type} | tojson }}
{%- endif -%}
{%- endmacro %}

{# The steps of all configured cohorts, each once, as {key: step}. #}
{% macro configured_cohort_steps() %}
    {% set steps = {} %}
    {% for cohort in configured_cohorts() %}
        {% for step in [cohort.target_event, cohort.return_event] %}
            {% do steps.update({cohort_step_key(step) | trim: step}) %}
        {% endfor %}
    {% endfor %}
    {{ return(steps) }}
{% endmacro %}

{# The moment up to which periods count as over: the var `as_of`, or now. #}
{% macro as_of() -%}
{{ "'" ~ var('as_of') ~ "'::timestamptz" if var('as_of') is not none else 'current_timestamp' }}
{%- endmacro %}
