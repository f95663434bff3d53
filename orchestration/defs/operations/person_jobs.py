"""A person's rights in Dagster: a job for every verb of `capstone person`, each step of it a line in the run's log.

A run's configuration is a store too: it holds the person's id and nothing else, and ends with the run after 30 days.
A run that was killed is repeated with the same configuration: the journal of the cell knows how far it got.
"""

from collections.abc import Callable
from typing import Any

import dagster as dg

from orchestration.cells.regions import parse_cell
from orchestration.defs.operations.verb_job import Metadata, step_logger, verb_job


class PersonConfig(dg.Config):
    """Which person: the id, never an address or a name."""

    person: str


class ErasePersonConfig(PersonConfig):
    """Whom; `confirm` has to repeat `person`, for nothing brings them back."""

    confirm: str


class MovePersonConfig(PersonConfig):
    """Whom, and where to; or that an open move is to be rolled back. Tenants of `into` by their ids."""

    to_region: str | None = None
    to_cell: str | None = None
    consent: str | None = None
    consented_at: str | None = None
    into: dict[str, str] = {}  # noqa: RUF012 - a default of a configuration
    rollback: bool = False


def _access(context: dg.OpExecutionContext, config: PersonConfig) -> Metadata:
    from orchestration.persons.access import access_person  # noqa: PLC0415 -- drivers load in the run
    from orchestration.persons.whereabouts import parse_person  # noqa: PLC0415

    done = access_person(parse_person(config.person), progress=step_logger(context))
    return {"path": str(done.path), "rows": done.rows, "files": len(done.files), "until": done.expires_at}


def _erase(context: dg.OpExecutionContext, config: ErasePersonConfig) -> Metadata:
    from orchestration.persons.erasing import PersonEraseError, erase_person  # noqa: PLC0415
    from orchestration.persons.whereabouts import parse_person  # noqa: PLC0415

    if config.confirm != config.person:
        raise PersonEraseError("`confirm` does not repeat `person`: nothing was erased")
    certificate = erase_person(parse_person(config.person), progress=step_logger(context))
    return {
        "certificate": certificate.certificate_id,
        **{f"{name} deleted": number for name, number in certificate.deleted.items()},
        **{f"{name} kept by law": number for name, number in certificate.retained.items()},
        "days whose figures wait to be built again": certificate.stale_days or 0,
    }


def _move(context: dg.OpExecutionContext, config: MovePersonConfig) -> Metadata:
    from datetime import UTC, datetime  # noqa: PLC0415
    from uuid import UUID  # noqa: PLC0415

    from orchestration.persons.consents import Consent  # noqa: PLC0415
    from orchestration.persons.moving import move_person  # noqa: PLC0415
    from orchestration.persons.whereabouts import parse_person  # noqa: PLC0415

    given_at = datetime.fromisoformat(config.consented_at) if config.consented_at else datetime.now(UTC)
    moved = move_person(
        parse_person(config.person),
        to_region=config.to_region,
        to_cell=parse_cell(config.to_cell) if config.to_cell else None,
        consent=Consent(config.consent, given_at) if config.consent else None,
        into={UUID(old): UUID(new) for old, new in config.into.items()} or None,
        rollback=config.rollback,
        progress=step_logger(context),
    )
    return {"region": moved.region, "cells": ", ".join(moved.cells)}


_VERBS: dict[str, tuple[type[dg.Config], Callable[[dg.OpExecutionContext, Any], Metadata], str]] = {
    "access": (PersonConfig, _access, "Writes everything about a person, from every store, into a bundle for them."),
    "move": (
        MovePersonConfig,
        _move,
        "Moves a person to another region, with consent, or rolls a move back.",
    ),
    "erase": (ErasePersonConfig, _erase, "Erases a person from every store, with a proof and a certificate."),
}


def person_job(verb: str) -> dg.JobDefinition:
    """Return the job of a verb of `capstone person`."""
    return verb_job("person", verb, *_VERBS[verb])


@dg.definitions
def defs() -> dg.Definitions:
    """Return the jobs of all verbs."""
    return dg.Definitions(jobs=[person_job(verb) for verb in _VERBS])
