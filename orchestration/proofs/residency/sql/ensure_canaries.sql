-- As many canaries as are missing, with their id in every personal column; in one statement, so that the sensitive data
-- are seen to belong to people who are there.
with missing as (
    select overlay(gen_random_uuid()::text placing %(mark)s from 1 for 8)::uuid as id
    from generate_series(
        1,
        %(canaries)s - (
            select count(*)
            from geo.canaries as c
            inner join geo.users as u on c.person_id = u.id
            where %(cell)s <> 'eu' or exists (select from geo.eu_user_data as e where e.user_id = u.id)
        )
    )
),

people as (
    insert into geo.users (id, email, region, profile)
    select m.id, m.id::text || '@canary.invalid', %(cell)s, jsonb_build_object('note', replace(m.id::text, '-', ''))
    from missing as m
    returning id
),

sensitive as (
    insert into geo.eu_user_data (user_id, sensitive_data)
    select p.id, jsonb_build_object('card', replace(p.id::text, '-', ''))
    from people as p
    where %(cell)s = 'eu'
)

insert into geo.canaries (person_id)
select p.id from people as p
