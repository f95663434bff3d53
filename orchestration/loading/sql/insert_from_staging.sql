with written as (
    insert into {table} as existing ({columns})
    select {columns} from pg_temp.staging
    on conflict ({key}) do nothing
    returning 1 as inserted
)

select
    count(*) as inserted,
    count(*) as written
from written;
