-- Undoes tenants.sql, and what was built from it. Parameters: tenants, load.
drop table if exists marts.dim_tenants, marts.fct_cohort_retention, marts.fct_daily_revenue, marts.fct_funnel;
drop table if exists intermediate.int_tenant_activity;
delete from analytics.events where load_id = %(load)s;
delete from ecommerce.orders where tenant_id = any(%(tenants)s);
delete from ecommerce.users where tenant_id = any(%(tenants)s);
delete from saas.tenants where id = any(%(tenants)s);
delete from geo.users where id = any(%(tenants)s);
delete from saas.plans where plan = 'dbt_test';
delete from platform.proofs;
