select encode(sha256(convert_to(%(salt)s || replace(c.person_id::text, '-', ''), 'UTF8')), 'hex') as digest
from geo.canaries as c
