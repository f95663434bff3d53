-- One row per tenant and known user: the times of all their events, by event type.
{{
    config(
        materialized='incremental',
        incremental_strategy='replace_sequences',
        on_schema_change='fail',
        tags=['daily'],
        indexes=[
            {'columns': ['tenant_id', 'user_id'], 'unique': true},
            {'columns': ['last_at']},
            {'columns': ['first_at']},
        ],
    )
}}

{#- A run of days replaces the times of these days in the rows of users who have, or had, events in them. Without days
    all times are replaced. Times do not outlive the events that they were made of. -#}
{%- set days = run_days() %}
-- depends_on: {{ ref('int_tenant_activity') }}
{% if is_incremental() -%}
{{ event_sequences_changed(
    this,
    ref('stg_events'),
    first_moment=run_start() if days is not none else none,
    end_moment=run_end() if days is not none else none,
    retained_from='(' ~ retained_from('t') ~ ")::timestamp at time zone 'UTC'",
    retained_everywhere_from='(select max(a.retained_from)::timestamp at time zone \'UTC\' from '
        ~ ref('int_tenant_activity') ~ ' as a)',
) }}
{%- else -%}
{{ event_sequences(ref('stg_events')) }}
{%- endif %}
