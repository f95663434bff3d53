select f.object, f.offenders
from survey as f
where f.state = 'misfiled';
