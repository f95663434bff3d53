-- Seconds on the processor of the server's processes since it started: those that run, and through the first of them
-- those that have ended. From /proc of the server's machine, in its clock ticks of a hundredth of a second; user and
-- system time, and of the first process that of its ended children.
with processes as (
    select a.pid, false as is_first
    from pg_catalog.pg_stat_activity as a
    where a.pid is not null
    union all
    select split_part(pg_catalog.pg_read_file('postmaster.pid'), e'\n', 1)::integer, true
),

stats as (
    select
        p.is_first,
        -- What follows the name in parentheses, which may have spaces: state first, the times from the 12th on.
        string_to_array(regexp_replace(pg_catalog.pg_read_file(format('/proc/%s/stat', p.pid), 0, 4096, true), '^.*\) ', ''), ' ') as fields
    from processes as p
)

select
    coalesce(sum(
        s.fields[12]::bigint + s.fields[13]::bigint
        + case when s.is_first then s.fields[14]::bigint + s.fields[15]::bigint else 0 end
    ), 0) / 100.0 as seconds
from stats as s
