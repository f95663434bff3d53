-- One row per settled week (ISO, UTC) and group of persons by the furthest step of the published funnel that they reached.
{{ config(indexes=[{'columns': ['funnel', 'week', 'first_step'], 'unique': true}]) }}

{%- set funnel = published_funnel_definition() %}

select
    '{{ target.name }}'::text as region,
    g.closes_on,
    g.funnel,
    g.week,
    g.detail,
    g.first_step,
    g.last_step,
    ({{ funnel_step_names(funnel) }})[g.first_step]::text as step_name,
    g.persons
from {{ published_funnel(ref('int_funnel_contributions'), funnel.steps | length, disclosure_rule()) }} as g
