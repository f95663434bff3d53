-- Takes persons out of the operational tables of one place. Whom: pg_temp.leaving (person_id). What the law asks to keep
-- stays without them: orders, their lines and payments, and ratings, under a shopper that is nobody, with a number that
-- was never anybody's. Row locks keep writers of these shoppers waiting until it is done; then they find nobody.
create temporary table leaving_shoppers on commit drop as
select
    u.tenant_id,
    u.id as user_id,
    null::bigint as anonymous_id
from {users} as u
where u.person_id in (select l.person_id from pg_temp.leaving as l);

update pg_temp.leaving_shoppers as s
set anonymous_id = nextval({users_ids})
where exists (select from {orders} as o where o.tenant_id = s.tenant_id and o.user_id = s.user_id)
    or exists (select from {reviews} as r where r.tenant_id = s.tenant_id and r.user_id = s.user_id)
    or exists (
        select from {addresses} as a
        inner join {orders} as o on a.tenant_id = o.tenant_id and a.id in (o.shipping_address_id, o.billing_address_id)
        where a.tenant_id = s.tenant_id and a.user_id = s.user_id
    );

-- An address that an order refers to says where tax was due, and no more.
create temporary table leaving_addresses on commit drop as
select
    a.tenant_id,
    a.id as address_id,
    nextval({addresses_ids}) as anonymous_id
from {addresses} as a
inner join pg_temp.leaving_shoppers as s on a.tenant_id = s.tenant_id and a.user_id = s.user_id
where exists (
    select from {orders} as o
    where o.tenant_id = a.tenant_id and a.id in (o.shipping_address_id, o.billing_address_id)
);

insert into {geo_users} (id, email, region)
select {anonymous_person}, {anonymous_email}, {region}
where exists (select from pg_temp.leaving_shoppers as s where s.anonymous_id is not null)
on conflict (id) do nothing;

insert into {users} (tenant_id, id, person_id, email, password_hash, created_at)
select
    s.tenant_id,
    s.anonymous_id,
    {anonymous_person},
    gen_random_uuid()::text || '@' || {domain},
    '!erased',
    coalesce(
        (select min(o.created_at) from {orders} as o where o.tenant_id = s.tenant_id and o.user_id = s.user_id),
        (select min(r.created_at) from {reviews} as r where r.tenant_id = s.tenant_id and r.user_id = s.user_id),
        now()
    )
from pg_temp.leaving_shoppers as s
where s.anonymous_id is not null;

insert into {addresses} (tenant_id, id, user_id, address_type, street_line1, city, state, country)
select
    a.tenant_id,
    n.anonymous_id,
    s.anonymous_id,
    a.address_type,
    'erased',
    'erased',
    -- A code says where tax was due; what is written out may be anything.
    case when a.state ~ '^[A-Z]{{2,3}}$' then a.state end,
    a.country
from {addresses} as a
inner join pg_temp.leaving_addresses as n on a.tenant_id = n.tenant_id and a.id = n.address_id
inner join pg_temp.leaving_shoppers as s on a.tenant_id = s.tenant_id and a.user_id = s.user_id;

with changed as (
    update {payments} as p
    set provider_token = 'erased-' || p.id, card_brand = null, card_last4 = null
    from {orders} as o
    inner join pg_temp.leaving_shoppers as s on o.tenant_id = s.tenant_id and o.user_id = s.user_id
    where p.tenant_id = o.tenant_id and p.order_id = o.id
    returning 1
)

insert into pg_temp.leaving_counts (what, is_kept, number) select 'payments', true, count(*) from changed;

with kept as (
    select i.id
    from {order_items} as i
    inner join {orders} as o on i.tenant_id = o.tenant_id and i.order_id = o.id
    inner join pg_temp.leaving_shoppers as s on o.tenant_id = s.tenant_id and o.user_id = s.user_id
)

insert into pg_temp.leaving_counts (what, is_kept, number) select 'order_items', true, count(*) from kept;

with changed as (
    update {orders} as o
    set user_id = s.anonymous_id, load_id = case when o.load_id is not null then {retained_load} end
    from pg_temp.leaving_shoppers as s
    where o.tenant_id = s.tenant_id and o.user_id = s.user_id
    returning 1
)

insert into pg_temp.leaving_counts (what, is_kept, number) select 'orders', true, count(*) from changed;

-- Also orders of others that were sent there.
update {orders} as o
set shipping_address_id = n.anonymous_id
from pg_temp.leaving_addresses as n
where n.tenant_id = o.tenant_id and n.address_id = o.shipping_address_id;

update {orders} as o
set billing_address_id = n.anonymous_id
from pg_temp.leaving_addresses as n
where n.tenant_id = o.tenant_id and n.address_id = o.billing_address_id;

with changed as (
    update {reviews} as r
    set user_id = s.anonymous_id, title = null, body = null
    from pg_temp.leaving_shoppers as s
    where r.tenant_id = s.tenant_id and r.user_id = s.user_id
    returning 1
)

insert into pg_temp.leaving_counts (what, is_kept, number) select 'ratings', true, count(*) from changed;

with gone as (
    delete from {carts} as c
    using pg_temp.leaving_shoppers as s
    where c.tenant_id = s.tenant_id and c.user_id = s.user_id
    returning 1
)

insert into pg_temp.leaving_counts (what, is_kept, number) select 'carts', false, count(*) from gone;

with gone as (
    delete from {addresses} as a
    using pg_temp.leaving_shoppers as s
    where a.tenant_id = s.tenant_id and a.user_id = s.user_id
    returning 1
)

insert into pg_temp.leaving_counts (what, is_kept, number) select 'addresses', false, count(*) from gone;

with gone as (
    delete from {users} as u
    using pg_temp.leaving_shoppers as s
    where u.tenant_id = s.tenant_id and u.id = s.user_id
    returning 1
)

insert into pg_temp.leaving_counts (what, is_kept, number) select 'shoppers', false, count(*) from gone;

with gone as (
    delete from {staff} as m
    where m.person_id in (select l.person_id from pg_temp.leaving as l)
    returning 1
)

insert into pg_temp.leaving_counts (what, is_kept, number) select 'members', false, count(*) from gone;

drop table pg_temp.leaving_shoppers, pg_temp.leaving_addresses;
