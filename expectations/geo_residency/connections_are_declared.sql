-- Who is sent the log of this database now, and from where this database is sent rows.
select f.object, f.offenders
from survey as f
where f.state = 'undeclared';
