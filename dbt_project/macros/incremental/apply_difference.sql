{#
  Incremental strategy of models that are computed whole: the new result is compared with the table, and only rows that
  differ are written, in one transaction. A row that did not change stays the same row; a run that changes nothing
  writes nothing.

  config.unique_key names the grain's columns; these are never null. Null equals null in all others.
#}
{% macro get_incremental_apply_difference_sql(arguments) %}
    {%- set keys = arguments['unique_key'] -%}
    {%- if keys is string or keys is not sequence or keys | length == 0 -%}
        {% do exceptions.raise_compiler_error(
            "strategy apply_difference needs config unique_key, the list of the grain's columns: " ~ model.name
        ) %}
    {%- endif -%}
    {{ apply_difference(
        arguments['target_relation'],
        arguments['temp_relation'],
        keys,
        arguments['dest_columns'] | map(attribute='name') | list,
    ) }}
{% endmacro %}

{# The statements. Uses nothing of dbt's, so that tests can render it with Jinja alone. #}
{% macro apply_difference(target, result, keys, columns) -%}
{%- set same_key -%}
{%- for key in keys %}t."{{ key }}" = n."{{ key }}"{{ ' and ' if not loop.last }}{% endfor -%}
{%- endset -%}
{%- set others = columns | reject('in', keys) | list -%}
{#- Without statistics a temporary table is taken for a few hundred rows, and joined row by row. -#}
analyze {{ result }};

delete from {{ target }} as t
where not exists (select from {{ result }} as n where {{ same_key }});
{% if others %}
update {{ target }} as t
set {% for column in others %}"{{ column }}" = n."{{ column }}"{{ ', ' if not loop.last }}{% endfor %}
from {{ result }} as n
where {{ same_key }}
    and row({% for column in others %}t."{{ column }}"{{ ', ' if not loop.last }}{% endfor %})
    is distinct from row({% for column in others %}n."{{ column }}"{{ ', ' if not loop.last }}{% endfor %});
{% endif %}
insert into {{ target }} ({% for column in columns %}"{{ column }}"{{ ', ' if not loop.last }}{% endfor %})
select {% for column in columns %}n."{{ column }}"{{ ', ' if not loop.last }}{% endfor %}
from {{ result }} as n
where not exists (select from {{ target }} as t where {{ same_key }});
{%- endmacro %}
