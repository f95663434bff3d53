-- Foreign keys, write fences and quotas are triggers; a disabled one lets rows through that they would refuse.
select
    t.tgrelid::regclass::text || ' (' || case when t.tgisinternal then 'constraint' else t.tgname end || ')' as object,
    count(*) as offenders
from pg_trigger as t
inner join actual as a on t.tgrelid = a.oid
where t.tgenabled not in ('O', 'A')
group by 1;
