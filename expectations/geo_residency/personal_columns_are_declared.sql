-- A column that is named like one of a person, in a relation that does not say so: what rests on the declaration (erasure,
-- access, lineage, what dbt may carry) passes it by. Views are read for what they read. Excused is the journal of operations
-- on persons, which names whom an open one is about, and nobody once it has ended.
select a.name || '.' || t.attname as object, 1 as offenders
from actual as a
inner join pg_attribute as t on a.oid = t.attrelid and t.attnum > 0 and not t.attisdropped
left join declared as d on a.name = d.name
where a.relkind <> 'view'
    and a.name <> 'platform.person_operations'
    and t.attname ~ concat(
        '^(e_?mail|e_?mail_address|person|person_id|first_name|last_name|full_name|given_name|family_name|phone',
        '|phone_number|password_hash|street|street_line\d|postal_code|sensitive_data|birth_?(date|day)|date_of_birth',
        '|ip|ip_address|passport|iban|card_(brand|last4|number)|home_region|region_of_record)$'
    )
    and not jsonb_exists(coalesce(d.classes, '{}'), t.attname);
