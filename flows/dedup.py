"""The dedup stage as a Prefect flow; `python -m flows.dedup` has DVC reproduce it."""

from components.core.report import Report
from components.params import Dedup
from flows.execution.stage import Place, Stage
from flows.execution.stage_process import State, flow, main, run_as_flow


def call(place: Place, branch: str) -> Report:
    """Run the stage function on the stage's inputs."""
    from components.stages.dedup.stage import dedup as remove_duplicates

    ingested = place.root / "data/ingest"
    return remove_duplicates(
        train=ingested / "train", heldout=ingested / "heldout", params=place.params.dedup, **place.data
    )


STAGE = Stage("dedup", call)


@flow(name="dedup")
def dedup(params: Dedup | None = None, params_hash: str = "") -> State:
    """Remove exact and near duplicates; which copy is kept is a rule, and what goes is kept aside with its reason.

    Args:
        params: the stage's section of params.yaml; changed values make an experiment.
        params_hash: leave it as it is: it shows which params.yaml the form was filled from.
    """
    return run_as_flow(STAGE, "", params, params_hash)


if __name__ == "__main__":
    main(STAGE, dedup)
