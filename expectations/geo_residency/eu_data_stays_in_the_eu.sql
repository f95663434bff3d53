select 'geo.eu_user_data' || case when u.region = 'eu' then '' else ' (region ' || u.region || ')' end as object,
    count(*) as offenders
from geo.eu_user_data as e
inner join geo.users as u on e.user_id = u.id
where current_setting('proof.cell') <> 'eu' or u.region <> 'eu'
group by u.region;
