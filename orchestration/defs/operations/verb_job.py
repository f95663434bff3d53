"""A job that does what a verb of the command line does, each step of it a line in the run's log."""

from collections.abc import Callable
from typing import Any, TypeAlias

import dagster as dg

from orchestration.defs.network_faults import NETWORK_RETRY, only_network_retried

Metadata: TypeAlias = dict[str, Any]


def step_logger(context: dg.OpExecutionContext) -> Callable[[Any], None]:
    """Return a progress that writes every step into the run's log."""

    def tell(step: Any) -> None:
        # That a step has worked says the same as that it is finished, a moment before the journal knows.
        if step.moment != "worked":
            context.log.info(step.describe())

    return tell


def verb_job(
    noun: str,
    verb: str,
    config_type: type[dg.Config],
    work: Callable[[dg.OpExecutionContext, Any], Metadata],
    description: str,
) -> dg.JobDefinition:
    """Return the job of a verb of `capstone <noun>`.

    Args:
        noun: tenant or person.
        verb: the verb.
        config_type: what a run is configured by; a store of its own, so it holds nothing personal but an id.
        work: does it, and returns the run's metadata.
        description: one sentence.
    """

    def run(context: dg.OpExecutionContext, config: Any) -> None:
        with only_network_retried():
            context.add_output_metadata(work(context, config))

    # Dagster reads the configuration's type from the annotation.
    run.__annotations__["config"] = config_type
    decorated = dg.op(name=f"{verb}_{noun}", description=description, retry_policy=NETWORK_RETRY)(run)

    @dg.job(
        name=f"{noun}_{verb}",
        tags={f"capstone/{noun}_verb": verb},
        executor_def=dg.in_process_executor,
        description=f"{description} The same as `capstone {noun} {verb}`; a run that was killed is repeated.",
    )
    def job() -> None:
        decorated()

    return job
