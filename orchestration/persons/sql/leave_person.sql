-- The persons' own rows; what only the EU may know of them goes with them.
with gone as (
    delete from geo.users as p
    using pg_temp.leaving as l
    where p.id = l.person_id
    returning 1
)

insert into pg_temp.leaving_counts (what, is_kept, number) select 'persons', false, count(*) from gone
