-- The database itself refuses a person where people of their region may not live, whoever writes: a request, COPY, a
-- load, a move, a restore, or a replicated change.
--
-- Row level, although one look per statement would be cheaper for COPY: an apply worker fires no statement triggers, and
-- what arrives by replication has to be refused like all else. One look costs some microseconds a row, beside the row's
-- indexes and foreign keys. ENABLE ALWAYS, for apply workers and sessions in replica mode pass ordinary triggers by, the
-- foreign keys too. The functions name every schema, for an apply worker has an empty search_path.
--
-- Two that write at once: a writer of a person locks the row of the region that it read, and a writer of sensitive data
-- the row of the person, so that whoever changes those waits, and then sees what was written. Only a transaction that
-- looks at an older snapshot would not: rules are changed, and people to whom sensitive data may belong change their
-- region, under READ COMMITTED.
set local role owner;

create function geo.require_home() returns trigger
language plpgsql
set search_path = ''
as $$
declare
    v_cell text;
    v_cells text[];
begin
    select c.cell into v_cell from platform.cell as c;
    select r.residency into v_cells from geo.regions as r where r.region = new.region for share;
    if v_cell = any(v_cells) then
        return null;
    end if;
    if v_cells is null then
        raise exception 'a person needs a region of record that exists, and % does not',
            -- What is no word of letters may be anything, somebody's address too.
            case when new.region ~ '^[A-Za-z]{0,12}$' then pg_catalog.quote_literal(new.region) else 'this one' end
            using errcode = 'foreign_key_violation',
            hint = 'One of ' || (select pg_catalog.string_agg(r.region, ', ' order by r.region) from geo.regions as r)
                || ', in lower case; nobody has a region by default.',
            schema = 'geo', table = 'users', column = 'region', constraint = 'users_region_fkey';
    end if;
    raise exception 'people_live_where_they_may: a person of region % may not live in cell %',
        pg_catalog.quote_literal(new.region), coalesce(pg_catalog.quote_literal(v_cell), 'without a name')
        using errcode = 'RES01',
        detail = 'People of this region may live in: ' || pg_catalog.array_to_string(v_cells, ', ') || '.',
        hint = 'Register the person with a tenant of such a cell. A person who agrees to another region of record is '
            || 'moved with: capstone person move',
        schema = 'geo', table = 'users', constraint = 'people_live_where_they_may';
end
$$;

comment on function geo.require_home() is
'Trigger: refuses (RES01) a person of a region whose people may not live in this cell, and a region that does not exist';

create function geo.require_sensitive_data_in_the_eu() returns trigger
language plpgsql
set search_path = ''
as $$
declare
    v_cell text;
    v_region text;
begin
    -- Deferred, the row may have changed again or be gone.
    if not exists (select from geo.eu_user_data as e where e.user_id = new.user_id) then
        return null;
    end if;
    select c.cell into v_cell from platform.cell as c;
    select u.region into v_region from geo.users as u where u.id = new.user_id for share;
    if v_cell = 'eu' and v_region = 'eu' then
        return null;
    end if;
    raise exception 'eu_data_stays_in_the_eu: sensitive data of a person of region % may not be in cell %',
        coalesce(pg_catalog.quote_literal(v_region), 'unknown'),
        coalesce(pg_catalog.quote_literal(v_cell), 'without a name')
        using errcode = 'RES01',
        detail = 'geo.eu_user_data holds data of people of region ''eu'' in the cell ''eu'', and nothing else.',
        hint = 'Write it in the cell ''eu'', after the person. A person who agrees to another region of record is moved '
            || 'with: capstone person move',
        schema = 'geo', table = 'eu_user_data', constraint = 'eu_data_stays_in_the_eu';
end
$$;

comment on function geo.require_sensitive_data_in_the_eu() is
'Trigger: refuses (RES01) sensitive data in another cell than eu, or of a person of another region';

-- A look that row security narrows, or that is older than what others wrote, proves nothing.
create function geo.require_newest_rows(p_relation regclass, p_change text) returns void
language plpgsql
set search_path = ''
as $$
begin
    if pg_catalog.row_security_active(p_relation) then
        raise exception 'role % is subject to row security and cannot see whom % would concern', current_user, p_change
            using errcode = 'insufficient_privilege', hint = 'Connect as loader or migrator.';
    end if;
    if pg_catalog.current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
        raise exception '% is possible under READ COMMITTED only', p_change
            using errcode = 'RES02',
            detail = 'An older snapshot would not show what was written meanwhile.',
            hint = 'Begin a transaction with: set transaction isolation level read committed';
    end if;
end
$$;

comment on function geo.require_newest_rows(regclass, text) is
'Fails (RES02, 42501) unless this transaction sees all rows of a relation as they are now, which a change of a rule needs';

grant execute on function geo.require_newest_rows(regclass, text) to loader, migrator;

create function geo.require_no_sensitive_data() returns trigger
language plpgsql
set search_path = ''
as $$
declare
    v_cell text;
begin
    perform geo.require_newest_rows('geo.eu_user_data', 'another region of record');
    if exists (
        select
        from geo.eu_user_data as e
        inner join geo.users as u on e.user_id = u.id
        where u.id = new.id and u.region <> 'eu'
    ) then
        select c.cell into v_cell from platform.cell as c;
        raise exception 'eu_data_stays_in_the_eu: a person with sensitive data may not become one of region % in cell %',
            pg_catalog.quote_literal(new.region), coalesce(pg_catalog.quote_literal(v_cell), 'without a name')
            using errcode = 'RES01',
            detail = 'geo.eu_user_data holds data of people of region ''eu'' in the cell ''eu'', and nothing else.',
            hint = 'Delete the sensitive data first, or in the same transaction with this constraint deferred, or let '
                || 'it be done by: capstone person move',
            schema = 'geo', table = 'users', constraint = 'eu_data_stays_in_the_eu';
    end if;
    return null;
end
$$;

comment on function geo.require_no_sensitive_data() is
'Trigger: refuses (RES01) that a person with sensitive data leaves the region eu';

create function geo.require_homes_of_all() returns trigger
language plpgsql
set search_path = ''
as $$
declare
    v_cell text;
    v_region text;
    v_people bigint;
begin
    perform geo.require_newest_rows('geo.users', 'a change of where people may live');
    select c.cell into v_cell from platform.cell as c;
    select u.region, count(*)
    into v_region, v_people
    from geo.users as u
    left join geo.regions as r on u.region = r.region
    where r.region is null or v_cell is null or not v_cell = any(r.residency)
    group by u.region
    order by u.region
    limit 1;
    if v_people > 0 then
        raise exception 'people_live_where_they_may: % people of region % live in cell % and would not be allowed to',
            v_people, pg_catalog.quote_literal(v_region), coalesce(pg_catalog.quote_literal(v_cell), 'without a name')
            using errcode = 'RES01',
            hint = 'Move them first: capstone person move',
            schema = tg_table_schema, table = tg_table_name, constraint = 'people_live_where_they_may';
    end if;
    return null;
end
$$;

comment on function geo.require_homes_of_all() is
'Trigger: refuses (RES01) a change of the regions or the cell after which somebody who lives here would not be allowed to';

-- Whoever wrote a person has read which cell this is, and holds no lock on that row: it never changes at all.
create function geo.keep_cell() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    raise exception 'people_live_where_they_may: a database is one cell for ever, and % would change which one', tg_op
        using errcode = 'RES01',
        hint = 'Make another cell, and move its tenants and people there.',
        schema = 'platform', table = 'cell', constraint = 'people_live_where_they_may';
end
$$;

comment on function geo.keep_cell() is 'Trigger: refuses (RES01) to change, delete or truncate which cell this is';

-- Triggers fire in the order of their names: with a capital letter this one comes before the foreign key's own
-- (RI_ConstraintTrigger…), so that an unknown region is answered with what would be one.
create constraint trigger "People_live_where_they_may" after insert or update on geo.users
for each row execute function geo.require_home();

create constraint trigger eu_data_stays_in_the_eu after update on geo.users
deferrable initially immediate
for each row when (old.region is distinct from new.region and new.region <> 'eu')
execute function geo.require_no_sensitive_data();

create constraint trigger eu_data_stays_in_the_eu after insert or update on geo.eu_user_data
deferrable initially immediate
for each row execute function geo.require_sensitive_data_in_the_eu();

create constraint trigger people_live_where_they_may after update on geo.regions
for each row when (old.region is distinct from new.region or old.residency is distinct from new.residency)
execute function geo.require_homes_of_all();

create constraint trigger people_live_where_they_may_still after delete on geo.regions
for each row execute function geo.require_homes_of_all();

create constraint trigger people_live_where_they_may after insert on platform.cell
for each row execute function geo.require_homes_of_all();

create trigger keep_cell before update or delete on platform.cell
for each row execute function geo.keep_cell();

create trigger keep_cell_whole before truncate on platform.cell
for each statement execute function geo.keep_cell();

alter table geo.users enable always trigger "People_live_where_they_may";
alter table geo.users enable always trigger eu_data_stays_in_the_eu;
alter table geo.eu_user_data enable always trigger eu_data_stays_in_the_eu;
alter table geo.regions enable always trigger people_live_where_they_may;
alter table geo.regions enable always trigger people_live_where_they_may_still;
alter table platform.cell enable always trigger people_live_where_they_may;
alter table platform.cell enable always trigger keep_cell;
alter table platform.cell enable always trigger keep_cell_whole;
