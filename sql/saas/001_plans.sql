create table saas.plans (
    plan text primary key,
    name text not null,
    monthly_price numeric(10, 2) not null check (monthly_price >= 0),
    max_users integer check (max_users > 0),
    max_projects integer check (max_projects > 0),
    max_events_per_month bigint check (max_events_per_month > 0),
    features jsonb not null default '{}'
);

comment on table saas.plans is 'Subscription tiers and their limits; the same in every cell';
comment on column saas.plans.plan is 'Short name';
comment on column saas.plans.name is 'For people';
comment on column saas.plans.monthly_price is 'Price per month in US dollars';
comment on column saas.plans.max_users is 'Most members of staff, NULL for no limit';
comment on column saas.plans.max_projects is 'Most projects, NULL for no limit';
comment on column saas.plans.max_events_per_month is 'Most events per calendar month, NULL for no limit';
comment on column saas.plans.features is 'Features that the plan switches on';

grant select on saas.plans to app;
