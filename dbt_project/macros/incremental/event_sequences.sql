{# Incremental strategy of the kept sequences: the rows of users whose times changed, and no others. #}
{% macro get_incremental_replace_sequences_sql(arguments) %}
    {{ event_sequences_apply(arguments['target_relation'], arguments['temp_relation']) }};
{% endmacro %}
