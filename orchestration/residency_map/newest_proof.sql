-- The newest verdict on residency of this cell.
select
    p.verdict,
    to_char(p.finished_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') as proven_at,
    (
        select coalesce(sum((o.value ->> 'count')::bigint), 0)::bigint
        from jsonb_array_elements(p.offenders) as o
    ) as offenders
from platform.proofs as p
where p.suite = 'geo_residency'
order by p.finished_at desc
limit 1
