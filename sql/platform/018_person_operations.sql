set local role owner;

-- The journal of what is done to a person (access, erase, move): as platform.tenant_operations, in steps that may be
-- repeated. It knows the person by id only while the operation is open.
create table platform.person_operations (
    operation_id uuid primary key default gen_random_uuid(),
    person_id uuid not null,
    verb text not null check (verb ~ '^[a-z]+$'),
    arguments jsonb not null default '{}' check (jsonb_typeof(arguments) = 'object'),
    facts jsonb not null default '{}' check (jsonb_typeof(facts) = 'object'),
    step text,
    state text not null default 'running' check (state in ('running', 'failed', 'done', 'undone')),
    started_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    error text
);

-- Two open operations on one person would work against each other.
create unique index idx_person_operations_open on platform.person_operations (person_id)
where state in ('running', 'failed');
create index idx_person_operations_started on platform.person_operations (started_at desc);

comment on table platform.person_operations is 'Journal of resumable operations on persons; names and counts, nothing personal';
comment on column platform.person_operations.operation_id is 'The operation';
comment on column platform.person_operations.person_id is 'The person while the operation is open; all zeros once it has ended';
comment on column platform.person_operations.verb is 'access, erase, move, or arrive in the cell that a person moves to';
comment on column platform.person_operations.arguments is 'What was asked for; nothing personal';
comment on column platform.person_operations.facts is 'What later steps need to know of earlier ones; names, counts and digests once it has ended';
comment on column platform.person_operations.step is 'Last step that was finished, NULL before the first';
comment on column platform.person_operations.state is 'running, failed (repeat the verb to go on), done, or undone (rolled back)';
comment on column platform.person_operations.started_at is 'When it was first asked for';
comment on column platform.person_operations.updated_at is 'When it last got further';
comment on column platform.person_operations.error is 'Why it stopped, without any row''s content';

-- Of this cell alone, so that the digests of two cells cannot be compared.
create table platform.person_salt (
    only_one boolean primary key default true check (only_one),
    salt text not null
);
insert into platform.person_salt (salt)
values (replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''));

comment on table platform.person_salt is 'Salt of the digests in platform.former_persons; one row';
comment on column platform.person_salt.only_one is 'Always true';
comment on column platform.person_salt.salt is 'Random, of this cell';

-- Persons that are here no more. Generators, old files and backups still know them: whoever loads or restores asks here,
-- so that nobody comes back. Only a salted digest: the record of an erasure must not say who was erased.
create table platform.former_persons (
    digest text primary key check (digest ~ '^[0-9a-f]{64}$'),
    why text not null check (why in ('moved', 'erased')),
    since timestamptz not null default clock_timestamp()
);

comment on table platform.former_persons is 'Persons that were erased or moved away; loads leave them out, restores erase them again';
comment on column platform.former_persons.digest is 'SHA-256 of the cell''s salt and the person''s id';
comment on column platform.former_persons.why is 'moved to another cell, or erased';
comment on column platform.former_persons.since is 'When';

create function platform.person_digest(p_person_id uuid) returns text
language sql stable
return encode(sha256(convert_to((select s.salt from platform.person_salt as s) || p_person_id::text, 'UTF8')), 'hex');

comment on function platform.person_digest(uuid) is 'The digest under which a person is in platform.former_persons';

create function platform.is_former_person(p_person_id uuid) returns boolean
language sql stable
return exists (
    select from platform.former_persons where digest = platform.person_digest(p_person_id)
);

comment on function platform.is_former_person(uuid) is 'Whether the person was erased or moved away from this cell';

-- A person's consent to another region of record. Nobody by value: whoever knows the person's id can check it.
create table platform.person_consents (
    consent_id uuid primary key default gen_random_uuid(),
    person_digest text not null check (person_digest ~ '^[0-9a-f]{64}$'),
    salt text not null,
    purpose text not null check (char_length(purpose) between 1 and 200),
    policy_version text not null check (policy_version ~ '^[A-Za-z0-9._-]{1,40}$'),
    from_region text not null,
    to_region text not null,
    given_at timestamptz not null,
    recorded_at timestamptz not null default clock_timestamp()
);

comment on table platform.person_consents is 'Consents of persons to another region of record, by digest';
comment on column platform.person_consents.consent_id is 'The consent';
comment on column platform.person_consents.person_digest is 'SHA-256 of salt and the person''s id';
comment on column platform.person_consents.salt is 'Random, of this row alone';
comment on column platform.person_consents.purpose is 'What was consented to';
comment on column platform.person_consents.policy_version is 'Version of the policy that the person was shown';
comment on column platform.person_consents.from_region is 'Region of record until then';
comment on column platform.person_consents.to_region is 'Region of record from then on';
comment on column platform.person_consents.given_at is 'When the person consented';
comment on column platform.person_consents.recorded_at is 'When it was recorded';

-- Rows of a person who is on the way to another cell: out of every table, so that nobody reads or writes them, and still
-- here until they are there.
create table platform.parked_rows (
    operation_id uuid not null,
    position integer not null check (position > 0),
    relation text not null,
    of_tenant uuid,
    content jsonb not null,
    primary key (operation_id, position)
);

comment on table platform.parked_rows is 'Rows of persons who are on the way to another cell, until they are there';
comment on column platform.parked_rows.operation_id is 'The move';
comment on column platform.parked_rows.position is 'Order in which they can be put back';
comment on column platform.parked_rows.relation is 'The relation that they are of, by its declared name';
comment on column platform.parked_rows.of_tenant is 'The tenant whose row it is, NULL for the person''s own';
comment on column platform.parked_rows.content is 'The row (personal: direct)';

grant execute on function platform.person_digest(uuid), platform.is_former_person(uuid)
to migrator, loader, transformer, auditor;
grant select, insert, update, delete on platform.person_operations to loader;
grant select on platform.person_salt, platform.former_persons to loader, transformer, auditor;
