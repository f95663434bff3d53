-- Hypertables, continuous aggregates and all that TimescaleDB keeps behind them cannot have row security, so nobody
-- who serves a tenant may have any privilege on them, not even on a column.
select h.name || ' (' || h.part || ', ' || s.rolname || ')' as object, count(*) as offenders
from hypertables as h
cross join serving as s
where has_table_privilege(s.oid, h.oid, 'select, insert, update, delete, truncate, references, trigger')
    or has_any_column_privilege(s.oid, h.oid, 'select, insert, update, references')
group by h.name, h.part, s.rolname;
