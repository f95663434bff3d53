tenant_id = {tenant}
and (
    user_id = any({shoppers})
    or (
        user_id is null
        and session_id in (
            select v.session_id
            from {events} as v
            where v.tenant_id = {tenant} and v.user_id = any({shoppers}) and v.session_id is not null
            except
            select v.session_id
            from {events} as v
            where v.tenant_id = {tenant} and v.user_id <> all({shoppers}) and v.session_id is not null
        )
    )
)
