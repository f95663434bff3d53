-- Canaries that are not there are found nowhere, which would prove nothing.
select 'geo.canaries' as object, 1 as offenders
where (
    select count(*)
    from geo.canaries as c
    inner join geo.users as u on c.person_id = u.id
    where u.email like u.id::text || '@%'
        and u.profile::text like '%' || replace(u.id::text, '-', '') || '%'
        and (
            current_setting('proof.cell') <> 'eu'
            or exists (
                select from geo.eu_user_data as e
                where e.user_id = u.id and e.sensitive_data::text like '%' || replace(u.id::text, '-', '') || '%'
            )
        )
) < 3;
