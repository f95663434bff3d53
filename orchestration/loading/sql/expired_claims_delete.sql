delete from analytics.event_ids
where claimed_on < %(before)s;
