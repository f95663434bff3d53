-- One row per cohort of the published kind, its week (ISO, UTC), and settled week later: persons who came back.
{{ config(indexes=[{'columns': ['cohort_name', 'cohort', 'weeks_later'], 'unique': true}]) }}

select
    '{{ target.name }}'::text as region,
    g.closes_on,
    g.cohort_name,
    g.cohort,
    g.weeks_later,
    g.persons
from {{ published_cohorts(ref('int_cohort_contributions'), disclosure_rule()) }} as g
