set local role owner;

-- The gate of a cell's data path: whoever publishes reads the newest proof of both suites first. It fails closed:
-- a missing, red, unprovable, outdated or future verdict closes it, and so does a role that row security would show
-- nothing, whose run would "succeed" on zero rows.
create function platform.gate_state(p_max_age interval default interval '60 minutes')
returns table (suite text, verdict text, reason text, open boolean)
language sql stable
set search_path = pg_catalog
as $$
    with newest as (
        select
            s.suite,
            p.verdict,
            p.catalog_digest,
            p.finished_at,
            jsonb_array_length(p.offenders) as offenders,
            -- An hour is the most that a verdict may be trusted, whatever the caller asks for.
            least(coalesce(p_max_age, interval '60 minutes'), interval '60 minutes') as max_age
        from (values ('tenant_isolation'), ('geo_residency')) as s (suite)
        left join lateral (
            select x.*
            from platform.proofs as x
            where x.suite = s.suite
            -- Of two that finished at once the worse one counts.
            order by x.finished_at desc, (x.verdict = 'green')
            limit 1
        ) as p on true
    ),

    judged as (
        select
            n.suite,
            n.verdict,
            case
                when n.verdict is null then 'was never proven in this cell'
                when n.verdict = 'red' then format('is violated (%s offenders)', n.offenders)
                when n.verdict <> 'green' then 'could not be proven'
                when n.finished_at > clock_timestamp() then 'was proven in the future: check the clock'
                when n.finished_at < clock_timestamp() - n.max_age
                    then format(
                        'was proven %s minutes ago, at most %s are allowed',
                        floor(extract(epoch from clock_timestamp() - n.finished_at) / 60),
                        floor(extract(epoch from n.max_age) / 60)
                    )
                when n.catalog_digest <> (select platform.catalog_digest()) then 'was proven before the catalog changed'
            end as reason
        from newest as n
    )

    select j.suite, j.verdict, j.reason, j.reason is null
    from judged as j
$$;

comment on function platform.gate_state(interval) is
'Per suite: the newest verdict, whether it opens the gate, and if not, why. Maximum age at most 60 minutes';

create function platform.assert_gate_open(p_max_age interval default interval '60 minutes') returns void
language plpgsql stable
set search_path = pg_catalog
as $$
declare
    v_cell text := coalesce((select c.cell from platform.cell as c), '?');
    v_reasons text;
begin
    if not exists (select from pg_roles as r where r.rolname = current_user and (r.rolsuper or r.rolbypassrls)) then
        raise exception 'the gate of cell % is closed: role % is subject to row security and would see no rows',
            quote_literal(v_cell), current_user
            using errcode = 'insufficient_privilege',
            hint = 'Connect as loader or transformer.';
    end if;
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

comment on function platform.assert_gate_open(interval) is
'Raises the reason why nothing may be built or published in this cell now; returns when both suites are proven';

grant execute on function platform.gate_state(interval), platform.assert_gate_open(interval)
to migrator, loader, transformer, auditor;
