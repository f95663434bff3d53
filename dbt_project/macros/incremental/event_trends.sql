{#
  Days after an event on which rows of trends can differ because of it. It keeps its series going for 42 days; a day's
  share needs a row a week before it (7); and it is in the expectations of the 42 days after that.
#}
{% macro trend_reach_days() -%}91{%- endmacro %}

{# The last day of which the model has a row; days after it are new to every run. #}
{% macro newest_trend_day(relation) -%}
(select coalesce(max(newest.day), '-infinity') from {{ relation }} as newest)
{%- endmacro %}

{# Condition on a row: the run counts its day anew. Days that are over by now and that no run has met yet are, too. #}
{% macro in_counted_trend_days(alias, relation) -%}
(
    ({{ in_run_dates(alias ~ '.day') }} or {{ alias }}.day > {{ newest_trend_day(relation) }})
    and {{ alias }}.day >= {{ retained_from(alias) }}
)
{%- endmacro %}

{# Condition on a row: the run computes it anew. #}
{% macro in_refreshed_trend_days(alias, relation, from_day=none) -%}
(
    {{ in_run_dates(alias ~ '.day', after=trend_reach_days() | int) }}
    or {{ alias }}.day > {{ newest_trend_day(relation) }}
)
and {{ alias }}.day >= {{ from_day or retained_from(alias) }}
{%- endmacro %}

{% macro delete_stale_fct_event_trends(relation, new_rows) %}
    delete from {{ relation }} as t
    where {{ in_refreshed_trend_days('t', relation, counted_from('t')) }};
{% endmacro %}
