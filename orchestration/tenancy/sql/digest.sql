-- Sums of two halves of each row's hash: the same in whatever order the rows lie, and no row is sorted or kept.
select
    count(*),
    coalesce(sum(('x' || substr(hashed.hash, 1, 15))::bit(60)::bigint::numeric), 0),
    coalesce(sum(('x' || substr(hashed.hash, 17, 15))::bit(60)::bigint::numeric), 0)
from (select md5(row({columns})::text) as hash from {relation} where {condition}) as hashed
