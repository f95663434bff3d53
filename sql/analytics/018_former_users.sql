-- Shoppers of a tenant who were erased or have left, of whom events may still arrive: in the queue, in a file, by a
-- replay. Whoever writes events leaves theirs out, so their numbers are never anybody's again. It goes with the tenant.
--
-- The digest keeps numbers from being read off; whoever knows one can try it, and finds that it is nobody's any more.
create table analytics.former_users (
    tenant_id uuid not null,
    digest text not null check (digest ~ '^[0-9a-f]{64}$'),
    since timestamptz not null default clock_timestamp(),
    primary key (tenant_id, digest)
);

comment on table analytics.former_users is 'Shoppers who were erased or have left: their events are not taken any more';
comment on column analytics.former_users.tenant_id is 'The tenant';
comment on column analytics.former_users.digest is 'SHA-256 of the tenant''s id, a slash and the shopper''s number';
comment on column analytics.former_users.since is 'When';

alter table analytics.former_users enable row level security;
alter table analytics.former_users force row level security;
create policy tenant_isolation on analytics.former_users
using (tenant_id = (select platform.current_tenant()))
with check (tenant_id = (select platform.current_tenant()));

create function analytics.user_digest(p_tenant_id uuid, p_user_id bigint) returns text
language sql immutable
return encode(sha256(convert_to(p_tenant_id::text || '/' || p_user_id::text, 'UTF8')), 'hex');

comment on function analytics.user_digest(uuid, bigint) is 'The digest under which a shopper is in analytics.former_users';

grant execute on function analytics.user_digest(uuid, bigint) to migrator, loader, transformer, auditor;
