create table geo.users (
    id uuid primary key default gen_random_uuid(),
    email text not null check (char_length(email) <= 320),
    region text not null references geo.regions (region),
    profile jsonb not null default '{}',
    created_at timestamptz not null default now()
);

create index idx_geo_users_region on geo.users (region);

comment on table geo.users is 'Persons and their region of record; a shopper or a member of staff of any tenant is one of them';
comment on column geo.users.id is 'The person';
comment on column geo.users.email is 'Address; not unique, for uniqueness across regions would need the address in all of them';
comment on column geo.users.region is 'Region of record; decides in which cells the person may live';
comment on column geo.users.profile is 'What the person told about themselves';
comment on column geo.users.created_at is 'When the person was first recorded';

create table geo.eu_user_data (
    user_id uuid primary key references geo.users (id) on delete cascade,
    sensitive_data jsonb not null
);

comment on table geo.eu_user_data is 'Data of EU residents that must stay in the EU';
comment on column geo.eu_user_data.user_id is 'The person';
comment on column geo.eu_user_data.sensitive_data is 'The data';

-- Tenants' roles have no privilege on persons. Forced row security without any policy is the second lock: a grant
-- made by mistake still shows no row.
alter table geo.users enable row level security;
alter table geo.users force row level security;
alter table geo.eu_user_data enable row level security;
alter table geo.eu_user_data force row level security;
