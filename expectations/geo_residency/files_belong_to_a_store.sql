select f.object, f.offenders
from survey as f
where f.state = 'stray' and f.store = 'files';
