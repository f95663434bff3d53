-- A tenant that is being moved, restored or erased is closed to writes by two triggers before every statement on every
-- operational table that its requests may write.
select a.name as object, 2 - count(t.oid) as offenders
from actual as a
inner join declared as d on a.name = d.name
left join pg_trigger as t
    on a.oid = t.tgrelid
    and t.tgname in ('fence_writes', 'fence_writes_snapshot')
    -- Before each INSERT, UPDATE and DELETE statement.
    and t.tgtype = 2 + 4 + 8 + 16
where a.relkind in ('table', 'partitioned table')
    and d.kind = 'tenant'
    and 'insert' = any(d.app)
    and regexp_replace(a.schema_name, '^t_[0-9a-f]{32}_', '') in ('saas', 'ecommerce')
group by a.name
having count(t.oid) <> 2;
