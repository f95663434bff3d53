-- The classes of sql/relations.yml, said where a reader of the database looks. Forward only: a class that changes is a
-- comment in a new file.
-- On the Community edition hypertable and rollups belong to migrator, see 003.
reset role;

comment on column analytics.events.event_id is 'The event (personal: pseudonym)';
comment on column analytics.events.session_id is 'Visit it belongs to (personal: pseudonym)';
comment on column analytics.events.user_id is 'Shopper within the tenant, NULL for a visitor who is not logged in (personal: account)';
comment on column analytics.events.page_url is 'Page it happened on (personal: direct)';
comment on column analytics.events.referrer is 'Page that led there (personal: direct)';
comment on column analytics.events.properties is 'What else is known; a purchase has order_id, revenue and currency (personal: direct)';
comment on column analytics.events.device_type is 'mobile, desktop or tablet (personal: quasi)';
comment on column analytics.events.country is 'ISO 3166 alpha-2, upper case (personal: quasi)';

comment on column analytics.events_history.event_id is 'The event (personal: pseudonym)';
comment on column analytics.events_history.session_id is 'Visit it belongs to (personal: pseudonym)';
comment on column analytics.events_history.user_id is 'Shopper within the tenant, NULL for a visitor who is not logged in (personal: account)';
comment on column analytics.events_history.page_url is 'Page it happened on (personal: direct)';
comment on column analytics.events_history.referrer is 'Page that led there (personal: direct)';
comment on column analytics.events_history.properties is 'What else is known; a purchase has order_id, revenue and currency (personal: direct)';
comment on column analytics.events_history.device_type is 'mobile, desktop or tablet (personal: quasi)';
comment on column analytics.events_history.country is 'ISO 3166 alpha-2, upper case (personal: quasi)';

comment on column analytics.event_ids.event_id is 'The event (personal: pseudonym)';
comment on column analytics.event_ids.claimed_by is 'Position in the queue of the entry that claimed it, NULL for a load (personal: pseudonym)';

comment on column analytics.events_hourly.device_type is 'mobile, desktop or tablet (personal: quasi)';
comment on column analytics.events_hourly.country is 'ISO 3166 alpha-2, upper case (personal: quasi)';

comment on column analytics.events_daily.device_type is 'mobile, desktop or tablet (personal: quasi)';
comment on column analytics.events_daily.country is 'ISO 3166 alpha-2, upper case (personal: quasi)';

comment on column analytics.page_views_daily.page_url is 'The page; NULL where the event does not say (personal: direct)';

comment on column analytics.user_days.user_id is 'Shopper within the tenant; visitors who are not logged in are not here (personal: account)';

comment on column analytics.tenant_events.event_id is 'The event (personal: pseudonym)';
comment on column analytics.tenant_events.session_id is 'Visit it belongs to (personal: pseudonym)';
comment on column analytics.tenant_events.user_id is 'Shopper within the tenant, NULL for a visitor who is not logged in (personal: account)';
comment on column analytics.tenant_events.page_url is 'Page it happened on (personal: direct)';
comment on column analytics.tenant_events.referrer is 'Page that led there (personal: direct)';
comment on column analytics.tenant_events.properties is 'What else is known; a purchase has order_id, revenue and currency (personal: direct)';
comment on column analytics.tenant_events.device_type is 'mobile, desktop or tablet (personal: quasi)';
comment on column analytics.tenant_events.country is 'ISO 3166 alpha-2, upper case (personal: quasi)';

comment on column analytics.tenant_events_hourly.device_type is 'mobile, desktop or tablet (personal: quasi)';
comment on column analytics.tenant_events_hourly.country is 'ISO 3166 alpha-2, upper case (personal: quasi)';

comment on column analytics.tenant_events_daily.device_type is 'mobile, desktop or tablet (personal: quasi)';
comment on column analytics.tenant_events_daily.country is 'ISO 3166 alpha-2, upper case (personal: quasi)';

comment on column analytics.tenant_page_views_daily.page_url is 'The page; NULL where the event does not say (personal: direct)';

comment on column analytics.tenant_user_days.user_id is 'Shopper within the tenant (personal: account)';
