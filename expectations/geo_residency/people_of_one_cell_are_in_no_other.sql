-- Whoever has a record in the one cell where they may live has none in this one, under whatever region.
select f.object, f.offenders
from survey as f
where f.state = 'elsewhere';
