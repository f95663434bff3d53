-- Weeks of events of two tenants that is the same wherever it is made: more of them the newer, of twelve shoppers each and
-- of visitors, up to the current hour.
insert into analytics.events (
    time, tenant_id, event_id, session_id, user_id, event_type, page_url, referrer, properties, device_type, country,
    origin, load_id
)
select
    %(now)s::timestamptz - (n * n %% 500009) * interval '6 seconds' - (n %% 7) * interval '1 day',
    case n %% 3 when 0 then %(one)s::uuid else %(other)s::uuid end,
    md5('event' || n)::uuid,
    md5('session' || n / 5)::uuid,
    nullif(n %% 13, 0),
    (array['page_view', 'product_view', 'add_to_cart', 'purchase', 'page_view', 'search'])[1 + n %% 6],
    case n %% 11 when 0 then null else 'https://shop.example/page/' || n %% 17 end,
    'https://search.example/',
    jsonb_build_object('position', n %% 9, 'list', 'front'),
    (array['mobile', 'desktop', 'tablet', null])[1 + n %% 4],
    (array['US', 'CA', 'MX'])[1 + n %% 3],
    'synthetic',
    md5('load')::uuid
from generate_series(1, %(count)s) as n
