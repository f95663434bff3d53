{#
  Days that are to be built again because events of them were erased (analytics.stale_days). Who builds, the platform or
  somebody in a shell, takes them away: claimed before anything is read, so that whatever is marked while models are
  built stays marked, and deleted only by a run that has built every model.

  Hooks run outside a transaction, in which the adapter has begun one all the same.
#}

{% macro claim_stale_days() %}
    {%- if flags.WHICH in ('build', 'run') and not flags.EMPTY -%}
    update analytics.stale_days
    set claimed_by = '{{ invocation_id }}'
    where {{ in_run_dates('day') }} or day = '-infinity';
    commit
    {%- else -%}
    select 1
    {%- endif -%}
{% endmacro %}

{% macro clear_stale_days(results) %}
    {%- if execute and flags.WHICH in ('build', 'run') and not flags.EMPTY and not unbuilt_models(results) -%}
    delete from analytics.stale_days
    where claimed_by = '{{ invocation_id }}';
    commit
    {%- else -%}
    select 1
    {%- endif -%}
{% endmacro %}

{# Models that a run was not to build, or could not. #}
{% macro unbuilt_models(results) %}
    {%- set built, unbuilt = [], [] -%}
    {%- for result in results if result.node.resource_type == 'model' and result.status == 'success' -%}
        {%- do built.append(result.node.unique_id) -%}
    {%- endfor -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.unique_id not in built -%}
        {%- do unbuilt.append(node.unique_id) -%}
    {%- endfor -%}
    {{ return(unbuilt) }}
{% endmacro %}
