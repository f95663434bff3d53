{% macro delete_stale_int_tenant_days(relation, new_rows) %}
    delete from {{ relation }} as t
    where {{ in_run_dates('t.day') }};
{% endmacro %}
