-- As role app: for every tenant, count what it sees of one relation, and compare with what it owns. One statement for
-- any number of tenants, in the snapshot in which the auditor counted; its plan is cached, so a policy that freezes
-- the first tenant into it is found too. Stops at the first foreign row: without row security every further tenant
-- would read the whole table.
do $parity$
declare
    v_tenant text;
    v_owned bigint;
    v_seen bigint;
    v_foreign bigint;
    v_tenants bigint := 0;
    v_short bigint := 0;
    v_rows bigint := 0;
begin
    for v_tenant, v_owned in
        select e.key, e.value::bigint from jsonb_each_text(current_setting('proof.owned')::jsonb) as e
    loop
        perform set_config('app.current_tenant', v_tenant, true);
        select count(*), count(*) filter (where r.{tenant_column} is distinct from v_tenant::uuid)
        into v_seen, v_foreign
        from (select x.{tenant_column} from {relation} as x limit {most}) as r;
        v_tenants := v_tenants + 1;
        v_rows := v_rows + v_seen;
        exit when v_foreign > 0;
        if v_seen <> v_owned then
            v_short := v_short + 1;
        end if;
    end loop;
    perform set_config('app.current_tenant', '', true);
    perform set_config(
        'proof.parity',
        jsonb_build_object(
            'tenants', v_tenants, 'rows', v_rows, 'short', v_short, 'foreign', coalesce(v_foreign, 0)
        )::text,
        true
    );
end
$parity$
