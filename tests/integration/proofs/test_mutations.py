"""The suite is tested by mutation: each known hole, planted alone in a real cell, is named by its rule; none survives.

The holes are ``mutations.yml``. Rules are asked over one plain connection, as a proof asks them through Great
Expectations (``test_planted_violations.py`` goes all the way); attacks run again where a hole is found only by attack.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest
import yaml
from psycopg import sql

from orchestration.cells import routing
from orchestration.cells.endpoints import Role
from orchestration.cells.relations import Relation, load_relations
from orchestration.proofs.attacks import Attack
from orchestration.proofs.direct import Answer, ask
from orchestration.proofs.proof import SUITES_DIRECTORY, all_attacks
from orchestration.proofs.session import rule_session
from orchestration.proofs.tenant_databases import prove_databases
from orchestration.quality.suite import Suite, load_suite
from orchestration.tenancy.placement import database_name, placement_of, schema_names
from orchestration.tenancy.provisioning import deprovision, provision
from orchestration.tenancy.registry import Model, Tenant

if TYPE_CHECKING:
    from psycopg.rows import TupleRow

    from tests.integration.proofs.conftest import ProofCells

MUTATIONS: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("mutations.yml").read_text())
FEWEST = 60


@dataclass(frozen=True)
class Subject:
    """The cell that holes are planted in, as it was before the first."""

    world: "ProofCells"
    administrator: "psycopg.Connection[TupleRow]"
    in_tenant_database: "psycopg.Connection[TupleRow]"
    auditor: "psycopg.Connection[TupleRow]"
    suite: Suite
    relations: tuple[Relation, ...]
    attacks: list[Attack]
    names: dict[str, str]
    facts: frozenset[str]

    def digest(self) -> str:
        row = self.auditor.execute("select platform.catalog_digest()").fetchone()
        assert row is not None
        return str(row[0])

    def run(self, script: str, *, in_tenant_database: bool = False) -> None:
        """Run what a mutation says, in the cell's database or in that of the tenant that has one."""
        connection = self.in_tenant_database if in_tenant_database else self.administrator
        for statement in self.named(script).split(";;"):
            connection.execute(statement.encode())
        # What it set for the session.
        connection.execute("reset all")

    def named(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace("{" + name + "}", value)
        return text

    def answers(self, attacks: list[Attack] | None = None, *, databases: bool = False) -> list[Answer]:
        further = self.databases() if databases else {}
        session = rule_session("na", self.relations, self.attacks if attacks is None else attacks, further=further)
        return ask(self.auditor, self.suite, session)

    def databases(self) -> dict[str, str]:
        settings = self.world.settings
        return prove_databases(self.auditor, "na", self.suite, self.relations, settings).as_setting()

    def attack(self) -> list[Attack]:
        return all_attacks("na", self.relations, self.world.settings)


@pytest.fixture(scope="module")
def subject(world: "ProofCells") -> Iterator[Subject]:
    """The cell, with one tenant that has schemas and one that has a database of its own."""
    settings = world.settings
    with ExitStack() as stack:
        of_schema = stack.enter_context(_tenant(world, "schema"))
        of_database = stack.enter_context(_tenant(world, "database"))

        def connect(role: Role, database: str | None = None) -> "psycopg.Connection[TupleRow]":
            return stack.enter_context(
                routing.connect("na", role, database=database, autocommit=True, settings=settings)
            )

        administrator, auditor = connect("superuser"), connect("auditor")
        own = database_name(of_database)
        names = _names(administrator) | {
            "of_schema": of_schema.hex,
            "schema": schema_names(of_schema)["ecommerce"],
            "own_database": own,
        }
        found = Subject(
            world,
            administrator,
            connect("superuser", own),
            auditor,
            load_suite(SUITES_DIRECTORY / "tenant_isolation"),
            load_relations(),
            all_attacks("na", load_relations(), settings),
            names,
            frozenset(row[0] for row in auditor.execute("select fact from platform.catalog_facts()")),
        )
        assert _named(found.answers(databases=True)) == {}, "the cell is not green to begin with"
        yield found


@contextmanager
def _tenant(world: "ProofCells", model: Model) -> Iterator[UUID]:
    tenant = Tenant(uuid4(), "na", f"Of {model}", f"of-{model}", "free", "active", model)
    with routing.connect("na", "loader", settings=world.settings) as loader:
        loader.execute(
            "insert into saas.tenants (id, name, subdomain, plan, model) values (%s, %s, %s, %s, %s)",
            (tenant.id, tenant.name, tenant.subdomain, tenant.plan, tenant.model),
        )
    provision(tenant, model, "na", world.settings)
    with placement_of(tenant).connect("loader", world.settings) as loader:
        settings_of_store = placement_of(tenant).relation("ecommerce.store_settings")
        loader.execute(sql.SQL("insert into {} (tenant_id) values ({})").format(settings_of_store, tenant.id))
    try:
        yield tenant.id
    finally:
        deprovision(tenant.id, model, "na", world.settings)


def _names(administrator: "psycopg.Connection[TupleRow]") -> dict[str, str]:
    row = administrator.execute(
        "select array_agg(id::text order by id), current_database(),"
        " (select min(c::text) from show_chunks('analytics.events') as c) from saas.tenants where model = 'shared'"
    ).fetchone()
    assert row is not None
    return {"tenant": row[0][0], "other": row[0][1], "database": row[1], "chunk": row[2]}


def _named(answers: list[Answer]) -> dict[str, set[str]]:
    """Return the objects that each rule names; of a rule that could not be asked, why."""
    return {
        answer.rule: {offender.object for offender in answer.offenders} | ({answer.error} if answer.error else set())
        for answer in answers
        if answer.offenders or answer.error
    }


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[each["name"] for each in MUTATIONS])
def test_a_planted_hole_turns_the_suite_red_by_its_rule_and_closes_the_gate(
    subject: Subject, mutation: dict[str, Any]
) -> None:
    before = subject.digest()
    elsewhere = mutation.get("in_tenant_database", False)
    subject.run(mutation["plant"], in_tenant_database=elsewhere)
    try:
        changed = subject.digest() != before
        attacks = subject.attack() if mutation.get("live", False) else None
        found = _named(subject.answers(attacks, databases=elsewhere))
    finally:
        subject.run(mutation["mend"], in_tenant_database=elsewhere)
    expected = subject.named(mutation["object"])
    assert expected in found.get(mutation["rule"], set()), json.dumps(
        {k: sorted(v) for k, v in found.items()}, indent=1
    )
    # A digest speaks of one database: the hour after which a verdict is too old closes what lies beyond.
    assert changed or elsewhere, "the digest did not change: the gate would stay open until the next proof"
    after = frozenset(row[0] for row in subject.auditor.execute("select fact from platform.catalog_facts()"))
    assert after ^ subject.facts == frozenset(), "mending left something behind"
    assert _named(subject.answers(databases=elsewhere)) == {}, "mending left the suite red"


def test_every_rule_is_killed_by_a_mutation(subject: Subject) -> None:
    killed = {mutation["rule"] for mutation in MUTATIONS}
    assert {rule.id for rule in subject.suite.rules} - killed == set()
    assert killed <= {rule.id for rule in subject.suite.rules}


def test_there_are_many_mutations_each_with_a_name_of_its_own() -> None:
    names = [mutation["name"] for mutation in MUTATIONS]
    assert len(names) == len(set(names)) >= FEWEST


def test_attacks_are_as_they_were_when_all_is_mended(subject: Subject) -> None:
    states = {attack.state for attack in subject.attack()}
    assert states == {"repelled", "own rows seen"}
