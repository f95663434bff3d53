select a.object, a.offenders
from attacks as a
where a.state = 'own rows unseen';
