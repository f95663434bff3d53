{# The var `global_marts`, checked: a mistake stops everything before anything is built. #}
{% macro disclosure_rule() %}
    {% set rule = var('global_marts') %}
    {% set fewest = {
        'k': 5, 'tenants': 3, 'dominance_percent': 1, 'rounding': 1, 'significant_digits': 1, 'settlement_days': 0,
        'cohort_weeks': 1
    } %}
    {% for name, least in fewest.items() %}
        {% set value = rule.get(name) %}
        {% if value is not integer or value is boolean or value < least %}
            {% do exceptions.raise_compiler_error(
                "var global_marts: " ~ name ~ " is " ~ value ~ ": a whole number of at least " ~ least ~ " is needed"
            ) %}
        {% endif %}
    {% endfor %}
    {% if rule.k % rule.rounding %}
        {% do exceptions.raise_compiler_error(
            "var global_marts: k is " ~ rule.k ~ ", which is no multiple of rounding, " ~ rule.rounding
        ) %}
    {% endif %}
    {{ return(rule) }}
{% endmacro %}

{# The one funnel that is published. Two would count nearly the same persons, and what they differ by may be a few. #}
{% macro published_funnel_definition() %}
    {% for funnel in configured_funnels() if funnel.name == disclosure_rule().funnel %}
        {{ return(funnel) }}
    {% endfor %}
    {% do exceptions.raise_compiler_error(
        "var global_marts: funnel '" ~ disclosure_rule().funnel ~ "' is none of the var funnels"
    ) %}
{% endmacro %}

{# The one cohort that is published. Of kind first_time: a person is in one cohort only, so that cohorts are disjoint. #}
{% macro published_cohort_definition() %}
    {% for cohort in configured_cohorts() if cohort.name == disclosure_rule().cohort and cohort.kind == 'first_time' %}
        {{ return(cohort) }}
    {% endfor %}
    {% do exceptions.raise_compiler_error(
        "var global_marts: cohort '" ~ disclosure_rule().cohort ~ "' is none of the var cohorts of kind first_time"
    ) %}
{% endmacro %}

{# The day up to which periods have settled: neither later than today nor than the day after the cell's newest events,
   for a cell whose loads are behind has not seen the period's last ones. A date, as a subquery. #}
{% macro settled_on() -%}
(
    select least(({{ as_of() }} at time zone 'UTC')::date, max(last_day) + 1)
    from {{ ref('int_tenant_activity') }}
)
{%- endmacro %}

{# Who contributes: the person, so that one who shops at ten merchants counts once. A user whom no shopper's record
   names, as in an imported log, counts as one at that merchant. #}
{% macro contributor(user, shopper) -%}
coalesce({{ shopper }}.person_id::text, {{ user }}.tenant_id::text || '/' || {{ user }}.user_id::text)
{%- endmacro %}
