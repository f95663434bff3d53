-- The instant of the transaction's beginning, which is before its snapshot, and what the relation holds in it.
select now(), count(*), coalesce(md5(string_agg(md5(t::text), '' order by md5(t::text))), '')
from {relation} as t
