{# Those that have a new first touch, and those who have no event any more. #}
{% macro delete_stale_int_first_touch(relation, new_rows) %}
    delete from {{ relation }} as t
    where (t.tenant_id, t.user_id) in (select n.tenant_id, n.user_id from {{ new_rows }} as n)
        or (
            {{ in_run_moments('t.first_at') }}
            and (t.first_at at time zone 'UTC')::date >= {{ retained_from() }}
        );
{% endmacro %}

{# Runs in the transaction that has refreshed what rests on first touches: a run that dies before leaves them marked. #}
{% macro clear_moved_first_touches() %}
    {%- if is_incremental() -%}
    update {{ ref('int_first_touch') }} set is_moved = false where is_moved
    {%- endif -%}
{% endmacro %}
