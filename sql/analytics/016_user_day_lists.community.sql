-- On the Community edition a day's users are the rows of a continuous aggregate (010), which has no lists to keep.
do $$
begin
    if to_regclass('analytics.user_days') is null then
        raise exception 'analytics.user_days does not exist: 010 makes it';
    end if;
end
$$;
