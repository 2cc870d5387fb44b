"""The dedup stage as a Prefect flow; `python -m flows.dedup` has DVC reproduce it."""

from components.params import Dedup
from components.report import Report
from flows.process import State, flow, main, run_as_flow
from flows.stage import Place, Stage


def call(place: Place, branch: str) -> Report:
    """Run the stage function on the stage's inputs."""
    from components.data.dedup import dedup as remove_duplicates

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
