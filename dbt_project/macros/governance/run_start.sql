{# What must hold before a run builds or tests anything. Each raises an error, which stops the whole run. #}

{% macro assert_cell() %}
    {% if execute %}
        {% set there = run_query('select cell from platform.cell').columns[0].values() %}
        {% if there | length != 1 or there[0] != target.name %}
            {% do exceptions.raise_compiler_error(
                "target '" ~ target.name ~ "' reached the database of cell '" ~ (there | join(', ')) ~ "' at "
                ~ target.host ~ ":" ~ target.port ~ ": check CAPSTONE_" ~ (target.name | upper) ~ "_HOST and _PORT"
            ) %}
        {% endif %}
    {% endif %}
    select 1
{% endmacro %}

{# Under forced row security a role without BYPASSRLS sees no rows: every test would pass, on nothing. #}
{% macro assert_role_sees_all_rows() %}
    {% if execute %}
        {% set sees_all = run_query(
            'select rolbypassrls or rolsuper from pg_catalog.pg_roles where rolname = current_user'
        ).columns[0].values() %}
        {% if not sees_all[0] %}
            {% do exceptions.raise_compiler_error(
                "role '" ~ target.user ~ "' in cell '" ~ target.name ~ "' is subject to row security and would build"
                ~ " marts of zero rows: it needs BYPASSRLS, which the platform's migrations give to transformer"
            ) %}
        {% endif %}
    {% endif %}
    select 1
{% endmacro %}

{# The proof's verdict. The database says why it is closed, and what to do. #}
{% macro assert_gate_open() %}
    select platform.assert_gate_open()
{% endmacro %}
