{# A cell's schemas have plain names: staging, intermediate, marts. Migrations create them. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
