-- Keep the newest proofs of a suite, and of those only what is young enough; the very newest always, for the gate.
delete from platform.proofs as p
using (
    select x.proof_id, x.finished_at, row_number() over (order by x.finished_at desc) as age
    from platform.proofs as x
    where x.suite = %(suite)s
) as ranked
where p.proof_id = ranked.proof_id
    and ranked.age > 1
    and (ranked.age > %(kept)s or ranked.finished_at < now() - make_interval(days => %(days)s))
