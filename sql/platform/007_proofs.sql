set local role owner;

create table platform.proofs (
    proof_id uuid primary key default gen_random_uuid(),
    suite text not null,
    verdict text not null check (verdict in ('green', 'red', 'error')),
    catalog_digest text not null,
    offenders jsonb not null default '[]' check (jsonb_typeof(offenders) = 'array'),
    rules_run integer not null check (rules_run >= 0),
    started_at timestamptz not null,
    finished_at timestamptz not null check (finished_at >= started_at),
    -- A proof in which nothing was asked, or which names offenders, is no proof.
    check (verdict <> 'green' or (rules_run > 0 and offenders = '[]'))
);

create index idx_proofs_newest on platform.proofs (suite, finished_at desc);

comment on table platform.proofs is 'Verdicts of the isolation and residency suites; the gate of the data path reads the newest of each';
comment on column platform.proofs.proof_id is 'The proof';
comment on column platform.proofs.suite is 'tenant_isolation or geo_residency';
comment on column platform.proofs.verdict is 'green: proven; red: violated; error: could not be proven';
comment on column platform.proofs.catalog_digest is 'platform.catalog_digest() taken before the first rule was asked';
comment on column platform.proofs.offenders is 'Array of {rule, object, count}: names and counts, never anyone''s values';
comment on column platform.proofs.rules_run is 'Rules that were asked';
comment on column platform.proofs.started_at is 'When the proof began';
comment on column platform.proofs.finished_at is 'When it had its verdict';

create table platform.proof_attacks (
    proof_id uuid not null references platform.proofs (proof_id) on delete cascade,
    attack text not null,
    object text not null,
    succeeded boolean not null,
    outcome text not null
);

create index idx_proof_attacks_proof on platform.proof_attacks (proof_id);

comment on table platform.proof_attacks is 'Evidence of the live attacks of a proof: names and counts only';
comment on column platform.proof_attacks.proof_id is 'The proof that made the attack';
comment on column platform.proof_attacks.attack is 'What was tried as role app';
comment on column platform.proof_attacks.object is 'Against which relation or function';
comment on column platform.proof_attacks.succeeded is 'Whether it got through';
comment on column platform.proof_attacks.outcome is 'SQLSTATE or a count, never a value';

-- Who may write a verdict may also purge old ones: deleting one can only close the gate.
grant select, insert, delete on platform.proofs, platform.proof_attacks to auditor;
grant select on platform.proofs to loader, transformer;
