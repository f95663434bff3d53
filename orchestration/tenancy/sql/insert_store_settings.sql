-- What a checkout of a new shop charges.
insert into {relation} (tenant_id, currency, tax_rate, shipping_amount)
select a.id, a.currency, %(tax_rate)s, %(shipping_amount)s
from unnest(%(ids)s::uuid[], %(currencies)s::text[]) as a (id, currency)
on conflict do nothing
