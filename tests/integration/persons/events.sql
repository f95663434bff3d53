-- What the person did in the shop: marked events, old ones, and a visit that begins before the login, with their ids.
do $events$
declare
    v_tenant uuid := current_setting('life.tenant')::uuid;
    v_mark text := current_setting('life.mark');
    v_visit uuid := gen_random_uuid();
begin
    update analytics.events set page_url = v_mark, properties = jsonb_build_object('q', v_mark)
    where tenant_id = v_tenant and user_id = 1;
    update analytics.events_history set page_url = v_mark where tenant_id = v_tenant and user_id = 1;
    for j in 0..1 loop
        with e as (
            insert into analytics.events (time, tenant_id, event_id, session_id, user_id, event_type, page_url, origin, load_id)
            values (
                now() - interval '2 hours', v_tenant, gen_random_uuid(), v_visit, nullif(j, 0), 'page_view', v_mark, 'stream',
                gen_random_uuid()
            )
            returning tenant_id, event_id, time
        )

        insert into analytics.event_ids (tenant_id, event_id, time) select e.tenant_id, e.event_id, e.time from e;
    end loop;
    call analytics.refresh_rollups(p_to => 'infinity', p_tenant => v_tenant);
end
$events$;
