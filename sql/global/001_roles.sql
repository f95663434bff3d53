-- Who is who in database global. Roles belong to the whole server, so they may be there already.
do $$
declare
    v_role record;
begin
    for v_role in
        select w.name, w.logs_in
        from (values ('publishing_owner', false), ('publisher', true), ('reader', true)) as w (name, logs_in)
        where not exists (select from pg_catalog.pg_roles as r where w.name = r.rolname)
    loop
        execute format(
            'create role %I %s nosuperuser nobypassrls nocreatedb nocreaterole noreplication',
            v_role.name, case when v_role.logs_in then 'login' else 'nologin' end
        );
    end loop;
    if not (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then
        execute format('grant publishing_owner to %I', current_user);
    end if;
    execute format('revoke all on database %I from public', current_database());
    execute format('grant connect on database %I to publisher, reader', current_database());
end
$$;

comment on role publishing_owner is 'Owns the objects of database global; nobody logs in as it';
comment on role publisher is
'Publishes k-anonymous aggregates: in a cell it reads these relations only, in database global it appends to their tables';
comment on role reader is 'Reads the global marts';

revoke all on schema public from public;
alter default privileges for role publishing_owner revoke execute on functions from public;

create schema publishing authorization publishing_owner;
create schema marts authorization publishing_owner;

comment on schema publishing is 'What the cells published, appended and never changed';
comment on schema marts is 'The cells'' aggregates side by side, each region with its age';

grant usage on schema publishing to publisher;
grant usage on schema marts to publisher, reader;
