-- As role app: try each statement of a list in a subtransaction that is always rolled back, and keep only SQLSTATE and
-- number of rows. Errors that are caught here reach neither the server's log nor anybody else with the row they quote.
do $attempts$
declare
    v_attempt jsonb;
    v_rows bigint;
    v_outcomes jsonb[] := array[]::jsonb[];
begin
    for v_attempt in select e.value from jsonb_array_elements(current_setting('proof.attempts')::jsonb) as e
    loop
        begin
            perform set_config('app.current_tenant', v_attempt ->> 'context', true);
            if v_attempt ->> 'before' is not null then
                execute v_attempt ->> 'before';
            end if;
            execute v_attempt ->> 'statement';
            get diagnostics v_rows = row_count;
            raise exception using errcode = 'PROOF';
        exception
            when sqlstate 'PROOF' then
                v_outcomes := v_outcomes || jsonb_build_object('state', '00000', 'rows', v_rows);
            when query_canceled then
                raise;
            when others then
                v_outcomes := v_outcomes || jsonb_build_object('state', sqlstate, 'rows', 0);
        end;
    end loop;
    perform set_config('proof.outcomes', to_jsonb(v_outcomes)::text, true);
end
$attempts$
