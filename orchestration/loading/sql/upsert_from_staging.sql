-- A row that already is as given is not rewritten, so that seeding again changes nothing. xmax is 0 in a row version
-- that this statement inserted, and this transaction's id in one that it updated.
with written as (
    insert into {table} as existing ({columns})
    select {columns} from pg_temp.staging
    on conflict ({key}) do update set ({changeable}) = row({excluded})
    where row({existing}) is distinct from row({excluded})
    returning (existing.xmax = 0) as inserted
)

select
    count(*) filter (where inserted) as inserted,
    count(*) as written
from written;
