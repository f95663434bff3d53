-- What TimescaleDB's own policies last did, as the Apache edition tells of what schedules run there.
reset role;
set local role owner;

create view analytics.policies as
with retention as (
    select
        min(k.range_end) as oldest_end,
        min(k.range_end) filter (where not k.is_compressed) as oldest_uncompressed,
        count(*) as chunks,
        count(*) filter (where k.is_compressed) as compressed
    from timescaledb_information.chunks as k
    where k.hypertable_schema = 'analytics' and k.hypertable_name = 'events'
),

policies as (
    select
        j.proc_name,
        j.hypertable_name,
        s.last_run_started_at,
        s.last_run_started_at + s.last_run_duration as last_finished,
        s.last_run_status,
        s.next_start,
        c.user_view_name as view_name
    from timescaledb_information.jobs as j
    left join timescaledb_information.job_stats as s on j.job_id = s.job_id
    left join _timescaledb_catalog.continuous_agg as c
        on c.mat_hypertable_id = (j.config ->> 'mat_hypertable_id')::integer
    where j.proc_name in ('policy_refresh_continuous_aggregate', 'policy_retention', 'policy_compression')
)

select
    case p.proc_name
        when 'policy_refresh_continuous_aggregate' then 'refresh of ' || p.view_name
        when 'policy_retention' then 'retention of events'
        else 'compression of events'
    end as name,
    case p.proc_name
        when 'policy_refresh_continuous_aggregate' then 'refresh'
        when 'policy_retention' then 'retention'
        else 'compression'
    end as kind,
    p.last_run_started_at as last_started,
    p.last_finished,
    lower(p.last_run_status) as last_status,
    p.next_start,
    case p.proc_name
        -- Since its last success: what is newer is counted when it is read, what was late is not.
        when 'policy_refresh_continuous_aggregate' then coalesce(now() - p.last_finished, interval '0')
        when 'policy_retention' then greatest(now() - interval '1 year' - r.oldest_end, interval '0')
        else greatest(now() - interval '7 days' - r.oldest_uncompressed, interval '0')
    end as behind,
    case p.proc_name
        when 'policy_refresh_continuous_aggregate' then 'late events are counted at the next run'
        when 'policy_retention' then format('%s days kept', r.chunks)
        else format('%s of %s days compressed', r.compressed, r.chunks)
    end as detail
from policies as p
cross join retention as r;

comment on view analytics.policies is
'What refreshes, compresses and drops the events and their rollups: what each last did and how far behind it is';
comment on column analytics.policies.name is 'The policy';
comment on column analytics.policies.kind is 'refresh, retention or compression';
comment on column analytics.policies.last_started is 'When it last began; NULL if never';
comment on column analytics.policies.last_finished is 'When it last ended';
comment on column analytics.policies.last_status is 'running, success or failed';
comment on column analytics.policies.next_start is 'When the server starts it next; NULL where a schedule of Dagster does';
comment on column analytics.policies.behind is 'Age of the oldest thing that it should have done';
comment on column analytics.policies.detail is 'What there is to do or was done, in words';

revoke insert, update, delete on analytics.policies from loader;
