-- Undoes tenants.sql, and what was built from it. Parameters: tenants, load.
do $$
declare
    built regclass;
begin
    for built in
        select oid from pg_class where relkind = 'r' and relnamespace in ('marts'::regnamespace, 'intermediate'::regnamespace)
    loop
        execute 'drop table ' || built;
    end loop;
end
$$;
delete from analytics.events where load_id = %(load)s;
delete from ecommerce.orders where tenant_id = any(%(tenants)s);
delete from ecommerce.users where tenant_id = any(%(tenants)s);
delete from saas.tenants where id = any(%(tenants)s);
delete from geo.users where id = any(%(tenants)s);
delete from saas.plans where plan = 'dbt_test';
delete from platform.proofs;
