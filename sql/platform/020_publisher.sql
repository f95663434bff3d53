-- What lets a cell's aggregates leave it: a login of its own, which reads the relations that are declared aggregates and
-- nothing else, and asks the gate through one function. dbt grants it the relations when it builds them.
do $$
begin
    if not exists (select from pg_catalog.pg_roles as r where r.rolname = 'publisher') then
        create role publisher login nosuperuser nobypassrls nocreatedb nocreaterole noreplication;
    end if;
    -- A tenant's own database has no marts, and nothing in it is published.
    if current_database() !~ '^tenant_[0-9a-f]{32}$' then
        execute format('grant connect on database %I to publisher', current_database());
    end if;
end
$$;

comment on role publisher is
'Publishes k-anonymous aggregates: in a cell it reads these relations only, in database global it appends to their tables';

grant usage on schema platform, marts to publisher;

set local role owner;

-- As assert_gate_open(), for a role that may not read proofs and is subject to row security: the relations that it reads
-- have none, for they hold no tenant's rows.
create function platform.assert_publishing_open(p_max_age interval default interval '60 minutes') returns void
language plpgsql stable security definer
set search_path = pg_catalog
as $$
declare
    v_cell text := coalesce((select c.cell from platform.cell as c), '?');
    v_reasons text;
begin
    select string_agg(s.suite || ' ' || s.reason, '; ' order by s.suite)
    into v_reasons
    from platform.gate_state(p_max_age) as s
    where not s.open;
    if v_reasons is not null then
        raise exception 'the gate of cell % is closed: %', quote_literal(v_cell), v_reasons
            using errcode = 'object_not_in_prerequisite_state',
            hint = format('Mend what the proof names, then prove again: capstone verify all --cell %s', v_cell);
    end if;
end
$$;

comment on function platform.assert_publishing_open(interval) is
'Raises the reason why nothing may leave this cell now; returns when both suites are proven. For role publisher';

grant execute on function platform.assert_publishing_open(interval) to publisher;
