select a.object || ' (' || a.attack || ')' as object, a.offenders
from attacks as a
where a.state = 'succeeded';
