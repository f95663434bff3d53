-- What the session claims, word for word: a function that knows one more setting, or one more tenant, is a back door
-- that no attack finds. The server keeps this one parsed, so its text is compared without blanks, brackets and casts.
-- current_tenant() is compared by routines_are_declared.
select p.oid::regprocedure::text || ' (settings)' as object, 1 as offenders
from pg_proc as p
where p.oid in (to_regprocedure('platform.current_tenant()'), to_regprocedure('platform.claimed_tenant()'))
    and coalesce(array_to_string(p.proconfig, ','), 'search_path=""') <> 'search_path=""'

union all
select 'platform.claimed_tenant() (changed)', 1
where coalesce(
        (
            select
                regexp_replace(
                    pg_get_function_sqlbody(p.oid), '(::(text|uuid))|pg_catalog\.|[\s()]|ELSE NULL', '', 'g'
                )
            from pg_proc as p
            where p.oid = to_regprocedure('platform.claimed_tenant()')
        ),
        ''
    )
    <> 'RETURNCASEWHENcurrent_setting''app.current_tenant'',true~'
    || '''^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$'''
    || 'THENcurrent_setting''app.current_tenant'',trueEND';
