-- Page views by page and user as tenants read them; see 005.
create view analytics.tenant_page_users_hourly
with (security_barrier = true) as
select
    p.bucket,
    p.tenant_id,
    p.page_url,
    p.user_id,
    p.views
from analytics.page_users_hourly as p
where p.tenant_id = (select platform.current_tenant());

comment on view analytics.tenant_page_users_hourly is 'The tenant''s own rows of analytics.page_users_hourly';
comment on column analytics.tenant_page_users_hourly.bucket is 'Start of the hour';
comment on column analytics.tenant_page_users_hourly.tenant_id is 'The tenant';
comment on column analytics.tenant_page_users_hourly.page_url is
'The page; NULL where the event does not say (personal: direct)';
comment on column analytics.tenant_page_users_hourly.user_id is
'Shopper within the tenant, NULL for visitors who are not logged in (personal: account)';
comment on column analytics.tenant_page_users_hourly.views is 'Events of type page_view';

revoke insert, update, delete on analytics.tenant_page_users_hourly from loader;
grant select on analytics.tenant_page_users_hourly to app;
