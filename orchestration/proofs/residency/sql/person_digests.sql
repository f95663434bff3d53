select left(encode(sha256(convert_to(%(salt)s || u.id::text, 'UTF8')), 'hex'), 24) as digest
from geo.users as u
where u.region = any(%(regions)s)
