insert into platform.person_consents (
    consent_id, person_digest, salt, purpose, policy_version, from_region, to_region, given_at
)
values (%(consent)s, %(digest)s, %(salt)s, %(purpose)s, %(policy)s, %(from)s, %(to)s, %(given_at)s)
on conflict (consent_id) do nothing
