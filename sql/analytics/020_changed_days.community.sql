-- On the Community edition a changed day is counted by the continuous aggregates themselves (010).
do $$
begin
    if to_regclass('analytics.events_daily') is null then
        raise exception 'analytics.events_daily does not exist: 010 makes it';
    end if;
end
$$;
